"""C4 单位审批: results to review and extensions to decide."""

from starlette.requests import Request
from starlette.responses import Response

from services.casework.domain.states import CaseState
from services.casework.pages.rendering import PageNumber, page_router, render_casework_page
from services.casework.store.case_lists import CaseFilter
from services.casework.views.case_lists import list_cases
from services.casework.views.extensions import cases_to_approve
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Tx

router = page_router()


@router.get("/approvals", policy=allow(Role.UNIT_HEAD))
async def approvals_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    page: PageNumber = 1,
) -> Response:
    reviewing = CaseFilter(states=(CaseState.REVIEWING,))
    return render_casework_page(
        request,
        "approvals.html",
        listing=await list_cases(tx, user, reviewing, page=page),
        requests=await cases_to_approve(tx, user),
        as_of=tx.now,
    )
