"""I4 分派: the cases that await a reviewer, next to the one being assigned."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.casework.domain.states import CaseAction, CaseState
from services.casework.pages.case import named_unit, unit_choices
from services.casework.pages.rendering import (
    PageNumber,
    SearchText,
    page_router,
    render_casework_page,
)
from services.casework.store.case_lists import CaseFilter
from services.casework.views.case_lists import count_cases, list_cases
from services.casework.views.cases import CaseDetails, case_details
from shared.appraisal.labels import Role
from shared.appraisal.schemes.case_rules import reason_choices
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Tx

router = page_router()
REVIEWER = allow(Role.REVIEWER)


@router.get("/triage", policy=REVIEWER)
async def triage_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    case: str = "",
    returned: bool = False,
    q: SearchText = "",
    page: PageNumber = 1,
) -> Response:
    wanted = CaseFilter(
        states=(CaseState.PENDING,), returned=returned, released_only=True, q=q.strip()
    )
    listing = await list_cases(tx, user, wanted, page=page)
    number = case or (listing.items[0].number if listing.items else "")
    details = await case_details(tx, number, user) if number else None
    counts = await count_cases(tx, user)
    return render_casework_page(
        request,
        "triage.html",
        listing=listing,
        pending=counts.in_states(CaseState.PENDING) - counts.unreleased,
        unreleased=counts.unreleased,
        returned=returned,
        q=q,
        values={"returned": "1" if returned else "", "q": q.strip()},
        as_of=tx.now,
        **await _assignment_panel(tx, details),
    )


async def _assignment_panel(tx: Transaction, case: CaseDetails | None) -> dict[str, Any]:
    """What the panel of the chosen case needs."""
    if case is None:
        return {"case": None, "form": Form[Any]()}
    initial = {"expected_version": case.version, "unit_id": named_unit(case)}
    reasons = case.campaign.case_rules.not_accepted_reasons
    return {
        "case": case,
        "form": Form[Any].with_initial(initial),
        "units": await unit_choices(tx, case, without=case.excluded_unit_ids),
        "reasons": reason_choices(reasons),
        "can_assign": CaseAction.ASSIGN in case.actions,
        "awaits_accused": case.awaits_accused,
        "may_record_accused": True,
        "last_return": case.latest(CaseAction.RETURN),
    }
