"""C1 我的办理: what this person's unit has to do, most urgent first."""

from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.casework.actions import handling, reading
from services.casework.domain import MAY, READERS, State, Verb
from services.casework.pages.words import WORDS, shown
from services.casework.store.cases import Filter
from shared.security.policies import Account, allow
from shared.security.roles import Role
from shared.storage.transaction import Transaction
from shared.web import Door, Hit, Once, Tx, Who, fragment, hits, htmx
from shared.web.routing import BACKGROUND_HEADER

door = Door(prefix="/casework")
READ = allow(*map(Role, READERS))
TABS: dict[str, tuple[str, tuple[State, ...]]] = {
    "todo": ("待办", (State.ASSIGNED, State.HANDLING, State.PAUSED, State.REVIEWING)),
    "accept": ("待签收", (State.ASSIGNED,)),
    "handle": ("办理中", (State.HANDLING, State.PAUSED)),
    "review": ("待审核", (State.REVIEWING,)),
    "done": ("已办", (State.CLOSED, State.STRUCK_OFF)),
}
STANDINGS = {"late": "超期", "soon": "今明到期"}
PICKED_MAX = 200
Text = Annotated[str, Query(max_length=100)]


@door.get("/", policy=READ)
async def queue_page(
    request: Request,
    tx: Tx,
    who: Who,
    tab: str = "todo",
    standing: str | None = None,
    mine: bool = False,
    q: Text = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    tab = tab if tab in TABS else "todo"
    standing = standing if standing in STANDINGS else None
    wanted = Filter(
        states=TABS[tab][1], standing=standing, handler_id=who.id if mine else None, q=q.strip()
    )
    context = await _queue(tx, who, wanted, tab=tab, standing=standing, mine=mine, q=q, page=page)
    if htmx(request) and BACKGROUND_HEADER in request.headers:
        return fragment(request, "queue.html", "rows", **WORDS, **context)
    return shown(request, "queue.html", **context)


async def _queue(
    tx: Transaction,
    who: Account,
    wanted: Filter,
    *,
    tab: str,
    standing: str | None,
    mine: bool,
    q: str,
    page: int,
) -> dict[str, Any]:
    counted = await reading.tally(tx, who)
    tabs = [
        (label, f"/casework/?tab={key}", sum(counted[state] for state in states))
        for key, (label, states) in TABS.items()
    ]
    values = {"tab": tab, "standing": standing, "mine": "1" if mine else "", "q": q.strip()}
    return {
        "listing": await reading.case_list(tx, who, wanted, page=page),
        "tabs": tabs,
        "here": f"/casework/?tab={tab}",
        "tiles": _tiles(counted),
        "tab": tab,
        "standing": standing,
        "standing_word": STANDINGS.get(standing or "", ""),
        "mine": mine,
        "q": q,
        "values": values,
        "can_accept": who.role.value in MAY[Verb.ACCEPT],
        "can_be_mine": who.role is Role.HANDLER,
        "as_of": tx.now,
    }


def _tiles(counted: dict[str, int]) -> list[dict[str, object]]:
    late, soon = counted["late"], counted["soon"]
    return [
        {
            "label": "超期",
            "value": late,
            "url": "/casework/?tab=todo&standing=late",
            "tone": "over" if late else "",
        },
        {
            "label": "今明到期",
            "value": soon,
            "url": "/casework/?tab=todo&standing=soon",
            "tone": "warn" if soon else "",
        },
        {
            "label": "办理中",
            "value": counted["handling"] + counted["paused"],
            "url": "/casework/?tab=handle",
        },
        {"label": "待签收", "value": counted["assigned"], "url": "/casework/?tab=accept"},
    ]


@door.post("/acceptances", policy=allow(*map(Role, MAY[Verb.ACCEPT])))
async def accept_picked(request: Request, tx: Tx, who: Who, once: Once) -> Response:
    """签收所选. What somebody else signed meanwhile stays theirs."""
    numbers = [str(number) for number in (await request.form()).getlist("number")][:PICKED_MAX]
    return await once.redirect(
        handling.accept_cases(tx, numbers=numbers, by=who), to="/casework/?tab=handle"
    )


@door.get("/palette", policy=READ)
async def palette(tx: Tx, who: Who, q: Text = "") -> Response:
    found = await reading.palette(tx, who, q)
    return JSONResponse(hits([_hit(row) for row in found]))


def _hit(row: Any) -> Hit:
    return Hit(
        "办件",
        row["number"],
        f"/casework/cases/{row['number']}",
        f"{State(row['state']).label} {row['summary'][:20]}",
    )
