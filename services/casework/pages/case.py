"""C2 办理详情, with a panel for each action (C3). The page works without JavaScript."""

from collections.abc import Container
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.casework.domain.extensions import ExtensionState
from services.casework.domain.review import ReviewDecision
from services.casework.domain.states import UNIT_ROLES, CaseAction
from services.casework.pages.consequences import consequence
from services.casework.pages.rendering import (
    READERS,
    Number,
    page_router,
    render_casework_page,
)
from services.casework.store import campaigns
from services.casework.views.cases import CaseDetails, HistoryEntryDetails, case_details
from shared.appraisal.labels import CaseFinding, Role
from shared.appraisal.schemes import CaseRules
from shared.appraisal.schemes.case_rules import reason_choices
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Tx

router = page_router()
SHORTCUTS: Final = {
    CaseAction.ACCEPT: "a",
    CaseAction.RETURN: "r",
    CaseAction.REQUEST_EXTENSION: "t",
    CaseAction.SUBMIT: "f",
    CaseAction.NOTE: "e",
}
LIST_OF_ROLE: Final = {
    Role.REVIEWER: "/casework/triage",
    Role.SUPERVISOR: "/casework/supervise",
}
TEMPLATE_ENUMS: Final = {
    "CaseAction": CaseAction,
    "CaseFinding": CaseFinding,
    "ExtensionState": ExtensionState,
    "ReviewDecision": ReviewDecision,
    "Role": Role,
}
UNTYPED_FIELDS: Final = frozenset({"expected_version", "finding", "agree"})
"""Fields that are not repeated as text when their panel can no longer be shown."""


@router.get("/cases/{number}", policy=READERS)
async def case_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: Number,
    act: str = "",
) -> Response:
    return await render_case(request, tx, user, number, act=act)


async def render_case(
    request: Request,
    tx: Transaction,
    user: Account,
    number: str,
    *,
    act: str = "",
    form: Form[Any] | None = None,
    status: int = 200,
    seen_version: int | None = None,
) -> Response:
    """Render a case with the panel of the action `act` open, if this person can take it now.

    `seen_version` is set if the case changed after the form was opened: the page lists what
    changed, and the form takes the current version.
    """
    case = await case_details(tx, number, user)
    opened = _opened_action(case, act)
    not_assignable = {case.unit_id, *case.excluded_unit_ids}
    form = form or Form[Any].with_initial(_initial_values(case, opened))
    changes: list[HistoryEntryDetails] | None = None
    if seen_version is not None:
        changes = case.changes_since(seen_version)
        form.texts["expected_version"] = [str(case.version)]
    return render_casework_page(
        request,
        "case.html",
        status,
        case=case,
        act=opened,
        form=form,
        units=await unit_choices(tx, case, without=not_assignable),
        changes=changes,
        typed_texts=_typed_texts(form),
        failed=status >= 400,
        list_url=LIST_OF_ROLE.get(user.role, "/casework/"),
        is_unit=user.role in UNIT_ROLES,
        may_record_accused=user.role in LIST_OF_ROLE,
        consequence=consequence(case, opened),
        now=tx.now,
        as_of=tx.now,
        **_case_context(case),
        **TEMPLATE_ENUMS,
    )


def _case_context(case: CaseDetails) -> dict[str, Any]:
    """What the templates need beside the case itself."""
    rules = case.campaign.case_rules
    return {
        "rules": rules,
        "extension_unit": rules.extension.limit.unit_label.removeprefix("个"),
        "reasons": _reasons(rules),
        "last_urge": case.latest(CaseAction.URGE),
        "keys": SHORTCUTS,
    }


def _opened_action(case: CaseDetails, act: str) -> CaseAction | None:
    """The action whose panel is open: the chosen one, or the only one there is."""
    if act in case.actions:
        return CaseAction(act)
    if len(case.actions) == 1 and case.actions[0] is not CaseAction.NOTE:
        return case.actions[0]
    return None


def _initial_values(case: CaseDetails, action: CaseAction | None) -> dict[str, Any]:
    """The initial values of a panel: a result that was sent back is edited, not written again."""
    values: dict[str, Any] = {"expected_version": case.version}
    if action is CaseAction.SUBMIT and case.submissions:
        last = case.submissions[0]
        values |= last.model_dump(include={"account", "finding", "measures", "reply"})
    if action is CaseAction.ASSIGN:
        values["unit_id"] = named_unit(case)
    return values


def named_unit(case: CaseDetails) -> str | None:
    """Return the unit that the case is about, if it may be responsible for it."""
    named = case.origin.named_unit_id if case.origin else None
    return named if named not in case.excluded_unit_ids else None


async def unit_choices(
    tx: Transaction,
    case: CaseDetails,
    *,
    without: Container[str | None],
) -> list[tuple[str, str]]:
    """Return (id, name) of the units of the case's campaign, without some of them."""
    units = await campaigns.units(tx, case.campaign.id)
    return [(unit.unit_id, unit.name) for unit in units if unit.unit_id not in without]


def _reasons(rules: CaseRules) -> dict[CaseAction, list[tuple[str, str]]]:
    """The reasons that the rules offer for an action."""
    reasons = {
        CaseAction.RETURN: rules.return_reasons,
        CaseAction.PAUSE: rules.pause_reasons,
        CaseAction.REFUSE: rules.not_accepted_reasons,
    }
    return {action: reason_choices(offered) for action, offered in reasons.items()}


def _typed_texts(form: Form[Any]) -> list[str]:
    return ["\n".join(texts) for name, texts in form.texts.items() if name not in UNTYPED_FIELDS]
