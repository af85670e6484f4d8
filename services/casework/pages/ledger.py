"""C7 整改台账: cases that a unit has to rectify, until they are struck off."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.casework.domain.states import WITH_UNIT, CaseState
from services.casework.pages.rendering import PageNumber, page_router, render_casework_page
from services.casework.store.case_lists import CaseFilter, units_with_cases
from services.casework.views.case_lists import count_cases, list_cases
from shared.appraisal.labels import CaseSource, Role
from shared.security.policies import allow
from shared.web import CurrentUser, Form, Tx

router = page_router()
STATE_FILTERS: Final[dict[str, tuple[str, tuple[CaseState, ...]]]] = {
    "": ("全部", (*WITH_UNIT, CaseState.CLOSED, CaseState.STRUCK_OFF)),
    "open": ("整改中", WITH_UNIT),
    "closed": ("待销号", (CaseState.CLOSED,)),
    "struck": ("已销号", (CaseState.STRUCK_OFF,)),
}
SOURCE_FILTERS: Final = {
    "": "全部",
    CaseSource.VISIT.value: CaseSource.VISIT.label,
    CaseSource.COMPLAINT.value: CaseSource.COMPLAINT.label,
}


@router.get("/ledger", policy=allow(Role.SUPERVISOR, Role.HANDLER, Role.UNIT_HEAD))
async def ledger_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    state: str = "",
    source: str = "",
    unit: str | None = None,
    page: PageNumber = 1,
) -> Response:
    state = state if state in STATE_FILTERS else ""
    source = source if source in SOURCE_FILTERS else ""
    _, states = STATE_FILTERS[state]
    wanted = CaseFilter(states=states, source=source or None, unit_id=unit or None)
    counts = await count_cases(tx, user)
    values = {"state": state, "source": source, "unit": unit or ""}
    return render_casework_page(
        request,
        "ledger.html",
        listing=await list_cases(tx, user, wanted, page=page),
        filtered=any(values.values()),
        state_options=[(key, label) for key, (label, _) in STATE_FILTERS.items()],
        source_options=list(SOURCE_FILTERS.items()),
        units=[(each.unit_id, each.name) for each in await units_with_cases(tx, user)],
        is_supervisor=user.role is Role.SUPERVISOR,
        closed=counts.in_states(CaseState.CLOSED),
        struck_off=counts.in_states(CaseState.STRUCK_OFF),
        late=counts.late,
        values=values,
        form=Form[Any].with_initial(values),
        as_of=tx.now,
    )
