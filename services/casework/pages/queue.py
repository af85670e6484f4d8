"""C1 我的办理: what this person's unit has to do, most urgent first."""

from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.casework.actions import handling, reading
from services.casework.domain import MAY, READERS, State, Verb
from services.casework.pages.words import WORDS, render_casework_page
from services.casework.store.cases import Filter
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Idempotency,
    PaletteResult,
    Router,
    Tx,
    is_htmx,
    palette_results,
    render_fragment,
)
from shared.web.routing import BACKGROUND_HEADER

router = Router(prefix="/casework")
READ = allow(*map(Role, READERS))
TABS: dict[str, tuple[str, tuple[State, ...]]] = {
    "todo": ("待办", (State.ASSIGNED, State.HANDLING, State.PAUSED, State.REVIEWING)),
    "accept": ("待签收", (State.ASSIGNED,)),
    "handle": ("办理中", (State.HANDLING, State.PAUSED)),
    "review": ("待审核", (State.REVIEWING,)),
    "done": ("已办", (State.CLOSED, State.STRUCK_OFF)),
}
DEADLINE_FILTERS = {"late": "超期", "soon": "今明到期"}
PICKED_MAX = 200
Text = Annotated[str, Query(max_length=100)]


@router.get("/", policy=READ)
async def queue_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    tab: str = "todo",
    deadline_status: str | None = None,
    mine: bool = False,
    q: Text = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    tab = tab if tab in TABS else "todo"
    deadline_status = deadline_status if deadline_status in DEADLINE_FILTERS else None
    wanted = Filter(
        states=TABS[tab][1],
        deadline_status=deadline_status,
        handler_id=user.id if mine else None,
        q=q.strip(),
    )
    context = await _queue(
        tx, user, wanted, tab=tab, deadline_status=deadline_status, mine=mine, q=q, page=page
    )
    if is_htmx(request) and BACKGROUND_HEADER in request.headers:
        return render_fragment(request, "queue.html", "rows", **WORDS, **context)
    return render_casework_page(request, "queue.html", **context)


async def _queue(
    tx: Transaction,
    user: Account,
    wanted: Filter,
    *,
    tab: str,
    deadline_status: str | None,
    mine: bool,
    q: str,
    page: int,
) -> dict[str, Any]:
    counted = await reading.tally(tx, user)
    tabs = [
        (label, f"/casework/?tab={key}", sum(counted[state] for state in states))
        for key, (label, states) in TABS.items()
    ]
    values = {
        "tab": tab,
        "deadline_status": deadline_status,
        "mine": "1" if mine else "",
        "q": q.strip(),
    }
    return {
        "listing": await reading.case_list(tx, user, wanted, page=page),
        "tabs": tabs,
        "here": f"/casework/?tab={tab}",
        "tiles": _tiles(counted),
        "tab": tab,
        "deadline_status": deadline_status,
        "deadline_status_label": DEADLINE_FILTERS.get(deadline_status or "", ""),
        "mine": mine,
        "q": q,
        "values": values,
        "can_accept": user.role.value in MAY[Verb.ACCEPT],
        "can_be_mine": user.role is Role.HANDLER,
        "as_of": tx.now,
    }


def _tiles(counted: dict[str, int]) -> list[dict[str, object]]:
    late, soon = counted["late"], counted["soon"]
    return [
        {
            "label": "超期",
            "value": late,
            "url": "/casework/?tab=todo&deadline_status=late",
            "tone": "over" if late else "",
        },
        {
            "label": "今明到期",
            "value": soon,
            "url": "/casework/?tab=todo&deadline_status=soon",
            "tone": "warn" if soon else "",
        },
        {
            "label": "办理中",
            "value": counted["handling"] + counted["paused"],
            "url": "/casework/?tab=handle",
        },
        {"label": "待签收", "value": counted["assigned"], "url": "/casework/?tab=accept"},
    ]


@router.post("/acceptances", policy=allow(*map(Role, MAY[Verb.ACCEPT])))
async def accept_picked(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency
) -> Response:
    """签收所选. What somebody else signed meanwhile stays theirs."""
    numbers = [str(number) for number in (await request.form()).getlist("number")][:PICKED_MAX]
    return await idempotency.redirect(
        handling.accept_cases(tx, numbers=numbers, by=user), to="/casework/?tab=handle"
    )


@router.get("/palette", policy=READ)
async def palette(tx: Tx, user: CurrentUser, q: Text = "") -> Response:
    found = await reading.palette(tx, user, q)
    return JSONResponse(palette_results([_palette_result(row) for row in found]))


def _palette_result(row: Any) -> PaletteResult:
    return PaletteResult(
        "办件",
        row["number"],
        f"/casework/cases/{row['number']}",
        f"{State(row['state']).label} {row['redacted_summary'][:20]}",
    )
