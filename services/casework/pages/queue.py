"""C1 我的办理: what this person's unit has to do, most urgent first."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.casework.actions.handling import accept_cases
from services.casework.domain.states import (
    ALLOWED_ROLES,
    IN_HANDLING,
    WITH_UNIT,
    CaseAction,
    CaseState,
)
from services.casework.pages.rendering import (
    READERS,
    PageNumber,
    SearchText,
    may,
    page_router,
    render_casework_fragment,
    render_casework_page,
)
from services.casework.store.case_lists import CaseFilter, CaseMatch
from services.casework.views.case_lists import (
    CaseCounts,
    count_cases,
    list_cases,
    search_cases,
)
from shared.appraisal.labels import Role
from shared.web import (
    CurrentUser,
    Idempotency,
    PaletteResult,
    Tx,
    is_htmx,
    palette_results,
)
from shared.web.routing import BACKGROUND_HEADER

router = page_router()
DEFAULT_TAB: Final = "todo"
TABS: Final[dict[str, tuple[str, tuple[CaseState, ...]]]] = {
    DEFAULT_TAB: ("待办", WITH_UNIT),
    "accept": ("待签收", (CaseState.ASSIGNED,)),
    "handle": ("办理中", IN_HANDLING),
    "review": ("待审核", (CaseState.REVIEWING,)),
    "done": ("已办", (CaseState.CLOSED, CaseState.STRUCK_OFF, CaseState.MERGED)),
}
DEADLINE_FILTERS: Final = {"late": "超期", "soon": "今明到期"}
SELECTED_MAX: Final = 200


@router.get("/", policy=READERS)
async def queue_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    tab: str = DEFAULT_TAB,
    deadline_status: str | None = None,
    mine: bool = False,
    q: SearchText = "",
    page: PageNumber = 1,
) -> Response:
    tab = tab if tab in TABS else DEFAULT_TAB
    deadline_status = deadline_status if deadline_status in DEADLINE_FILTERS else None
    _, states = TABS[tab]
    wanted = CaseFilter(
        states=states,
        deadline_status=deadline_status,
        handler_id=user.id if mine else None,
        q=q.strip(),
    )
    counts = await count_cases(tx, user)
    context: dict[str, Any] = {
        "listing": await list_cases(tx, user, wanted, page=page),
        "tabs": _tabs(counts),
        "here": f"/casework/?tab={tab}",
        "tiles": _tiles(counts),
        "tab": tab,
        "deadline_status": deadline_status,
        "deadline_status_label": DEADLINE_FILTERS.get(deadline_status or "", ""),
        "mine": mine,
        "q": q,
        "values": _query(
            tab=tab,
            deadline_status=deadline_status,
            mine=mine,
            q=q,
        ),
        "can_accept": user.role in ALLOWED_ROLES[CaseAction.ACCEPT],
        "can_be_mine": user.role is Role.HANDLER,
        "as_of": tx.now,
    }
    if is_htmx(request) and BACKGROUND_HEADER in request.headers:
        return render_casework_fragment(request, "queue.html", "rows", **context)
    return render_casework_page(request, "queue.html", **context)


def _query(
    *,
    tab: str,
    deadline_status: str | None,
    mine: bool,
    q: str,
) -> dict[str, Any]:
    return {
        "tab": tab,
        "deadline_status": deadline_status,
        "mine": "1" if mine else "",
        "q": q.strip(),
    }


def _tabs(counts: CaseCounts) -> list[tuple[str, str, int]]:
    return [
        (label, f"/casework/?tab={key}", counts.in_states(*states))
        for key, (label, states) in TABS.items()
    ]


def _tiles(counts: CaseCounts) -> list[dict[str, object]]:
    handling = counts.in_states(*IN_HANDLING)
    assigned = counts.in_states(CaseState.ASSIGNED)
    return [
        _deadline_tile("late", counts.late, tone="over"),
        _deadline_tile("soon", counts.soon, tone="warn"),
        {"label": "办理中", "value": handling, "url": "/casework/?tab=handle"},
        {"label": "待签收", "value": assigned, "url": "/casework/?tab=accept"},
    ]


def _deadline_tile(
    status: str,
    count: int,
    *,
    tone: str,
) -> dict[str, object]:
    return {
        "label": DEADLINE_FILTERS[status],
        "value": count,
        "url": f"/casework/?tab={DEFAULT_TAB}&deadline_status={status}",
        "tone": tone if count else "",
    }


@router.post("/acceptances", policy=may(CaseAction.ACCEPT))
async def accept_selected(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    """签收所选. A case that somebody else accepted meanwhile stays theirs."""
    selected = (await request.form()).getlist("number")[:SELECTED_MAX]
    numbers = [str(number) for number in selected]
    return await idempotency.redirect(
        accept_cases(tx, numbers=numbers, by=user), to="/casework/?tab=handle"
    )


@router.get("/palette", policy=READERS)
async def palette(
    tx: Tx,
    user: CurrentUser,
    q: SearchText = "",
) -> Response:
    matches = await search_cases(tx, user, q)
    return JSONResponse(palette_results([_palette_result(match) for match in matches]))


def _palette_result(match: CaseMatch) -> PaletteResult:
    state = CaseState(match.state).label
    return PaletteResult(
        "办件",
        match.number,
        f"/casework/cases/{match.number}",
        f"{state} {match.redacted_summary[:20]}",
    )
