"""What the button of a panel will do, in the words of the person whom it concerns."""

from collections.abc import Callable, Mapping
from typing import Final

from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.extensions import role_names
from services.casework.domain.states import CaseAction
from services.casework.views.cases import CaseDetails
from shared.appraisal.calendar.deadlines import due_label


def consequence(case: CaseDetails, action: CaseAction | None) -> str:
    """Return the sentence above the button; empty if there is nothing to say."""
    sentence = _SENTENCES.get(action, "") if action else ""
    return sentence if isinstance(sentence, str) else sentence(case)


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


_SENTENCES: Final[Mapping[CaseAction, str | Callable[[CaseDetails], str]]] = {
    CaseAction.ACCEPT: _accept,
    CaseAction.RETURN: _return,
    CaseAction.REQUEST_EXTENSION: _request_extension,
    CaseAction.DECIDE_EXTENSION: (
        "各审批人全部同意后期限顺延，并告知来件人；任何一人不同意，申请即告终止"
    ),
    CaseAction.SUBMIT: (
        "送审后停止计时；被退回修改的，原期限继续计算。公开答复审核通过后原文告知来件人，并请其评价"
    ),
    CaseAction.APPROVE: "通过即办结，公开答复原文告知来件人",
    CaseAction.SEND_BACK: _send_back,
    CaseAction.STRIKE_OFF: "销号后本件不再列入整改台账",
    CaseAction.REFUSE: "理由会原文告知来件人，本件不再办理",
    CaseAction.PAUSE: _pause,
    CaseAction.RESUME: "立即恢复计时，暂停的工作日顺延",
    CaseAction.ASSIGN: "分办后即开始计算签收和办结期限",
    CaseAction.URGE: "催办意见显示在办件最上方，并记入办理过程；不影响期限",
    CaseAction.TAKE_OVER: "由您接办，期限不变",
}
