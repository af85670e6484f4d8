"""What the button of a panel will do, where the sentence contains a date or a role of the case.

Sentences that are always the same stand in the panel itself.
"""

from collections.abc import Callable, Mapping
from typing import Final

from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.extensions import role_names
from services.casework.domain.states import CaseAction
from services.casework.views.cases import CaseDetails
from shared.appraisal.calendar.deadlines import due_label


def consequence(case: CaseDetails, action: CaseAction | None) -> str:
    """Return the sentence above the button; empty if nothing has to be computed for it."""
    if action is None or action not in _SENTENCES:
        return ""
    return _SENTENCES[action](case)


def _due_text(case: CaseDetails) -> str:
    handling = case.active(DeadlineKind.HANDLE)
    return handling.due_text if handling else ""


def _accept(case: CaseDetails) -> str:
    handling = case.active(DeadlineKind.HANDLE)
    terms = handling.terms if handling else ""
    return f"签收后由您承办，最迟 {_due_text(case)} 办结（{terms}，自分办起算）"


def _return(case: CaseDetails) -> str:
    until = due_label(case.returnable_until) if case.returnable_until else ""
    return f"退回后由受理审核重新分派；最迟 {until} 前可以退回。异议不成立的，原期限继续计算"


def _request_extension(case: CaseDetails) -> str:
    names = role_names(case.campaign.case_rules.extension.approvers)
    return f"需{names}同意，批准前仍按 {_due_text(case)} 计算"


def _send_back(case: CaseDetails) -> str:
    handling = case.last_handling
    return f"退回后继续办理，原期限不变（{handling.due_text if handling else ''}）"


def _pause(case: CaseDetails) -> str:
    return f"暂停期间不计时，到期自动恢复；现截止 {_due_text(case)}"


_SENTENCES: Final[Mapping[CaseAction, Callable[[CaseDetails], str]]] = {
    CaseAction.ACCEPT: _accept,
    CaseAction.RETURN: _return,
    CaseAction.REQUEST_EXTENSION: _request_extension,
    CaseAction.SEND_BACK: _send_back,
    CaseAction.PAUSE: _pause,
}
