"""A small service that shows every component of the shared pages, for the tests of `shared.web`.

It has the shape of a real one: routes with policies, a form that can be rejected in every way, a
list that changes, a palette. Its sessions and its database are objects in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.foundation.settings import Settings
from shared.security.policies import PUBLIC, SIGNED_IN, Account, allow
from shared.security.sessions import COOKIE
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    OptionalUser,
    PaletteResult,
    Router,
    ServiceUnavailable,
    TooManyRequests,
    Tx,
    check_policies,
    install,
    matches_search,
    palette_results,
    read_form,
    redirect,
    render_fragment,
    render_page,
    search_terms,
)
from shared.web.forms import Input

NOW = datetime(2026, 11, 23, 6, 5, 7, tzinfo=UTC)
UNITS = {"u1": "省中医药管理局", "u2": "省中医药科学院", "u3": "市政务服务和数据管理局"}


class Ticket(Input):
    phone: str = Field("", title="来电号码")
    unit: str = Field(title="被反映单位")
    unit_id: str = ""
    kind: Annotated[str, Field(title="诉求类型", pattern="^(complaint|report|praise)$")]
    happened: str = Field("", title="发生时间")
    text: str = Field(title="诉求原文", min_length=10, max_length=2000)
    topics: list[str] = Field([], title="涉及方面")


class MemorySessions:
    """Sessions by token, without Redis."""

    cookie, https = COOKIE, False

    def __init__(self) -> None:
        self.people: dict[str, Account] = {}
        self.touched: list[bool] = []

    def sign_in(self, role: Role, name: str = "王敏") -> str:
        token = f"token-{role}"
        self.people[token] = Account(UUID(int=list(Role).index(role) + 1), role.value, name, role)
        return token

    async def find(self, token: str, *, touch: bool = True) -> Account | None:
        self.touched.append(touch)
        return self.people.get(token)


class MemoryTransaction:
    """The idempotency table in memory; rolled back if the block raises."""

    def __init__(self, rows: dict[str, dict[str, Any]]) -> None:
        self.rows, self.now = rows, NOW

    async def fetchrow(self, sql: str, keys: list[str], fingerprints: list[str]) -> dict[str, Any]:
        """Claims keys."""
        new = {
            key: print_
            for key, print_ in zip(keys, fingerprints, strict=True)
            if key not in self.rows
        }
        self.rows |= {
            key: {"key": key, "fingerprint": print_, "status": 0, "response": "null"}
            for key, print_ in new.items()
        }
        return {"claimed": list(new)}

    async def fetch(self, sql: str, keys: list[str]) -> list[dict[str, Any]]:
        """Returns the stored responses of keys."""
        return [self.rows[key] for key in keys if key in self.rows]

    async def run(
        self,
        sql: str,
        keys: list[str],
        statuses: list[int] | None = None,
        responses: list[str] | None = None,
    ) -> int:
        """Stores responses; without any, releases the keys."""
        for n, key in enumerate(keys):
            if statuses is None or responses is None:
                del self.rows[key]
            else:
                self.rows[key].update(status=statuses[n], response=responses[n])
        return len(keys)


class MemoryDatabase:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, context: Any = None) -> AsyncIterator[MemoryTransaction]:
        async with self.lock:
            before = {key: dict(row) for key, row in self.rows.items()}
            try:
                yield MemoryTransaction(self.rows)
            except BaseException:
                self.rows.clear()
                self.rows.update(before)
                raise


STATES = [
    ("grave", "9工作日"),
    ("over", "2工作日"),
    ("near", "今天17:30"),
    ("near", "剩1工作日"),
    ("normal", "剩4工作日"),
]
STATES += [("paused", ""), ("closed", "")]
TITLES = [
    "窗口工作人员态度生硬",
    "投诉电话长时间无人接听",
    "材料反复退回未一次性告知",
    "工作时间窗口无人在岗",
]
TITLES += ["承诺事项逾期未办", "政策解答前后不一", "办理时限超出公示"]


def cases(count: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "number": f"ZF2026-{4500 + i:06}",
            "title": TITLES[i % 7],
            "state": STATES[i % 7][0],
            "detail": STATES[i % 7][1],
            "due": NOW + timedelta(days=i - 2),
            "unit": UNITS[f"u{i % 3 + 1}"],
            "count": 3 * i,
        }
        for i in range(count)
    ]


pages_router, api_router = Router(), Router(prefix="/gallery/api")


@pages_router.get("/", policy=SIGNED_IN)
async def home(request: Request, user: CurrentUser) -> Response:
    return render_page(
        request,
        "gallery.html",
        form=Form.with_initial({"kind": "complaint"}),
        cases=cases(),
        as_of=NOW,
        now=NOW,
    )


@pages_router.get("/me", policy=SIGNED_IN)
async def me(request: Request) -> Response:
    return render_page(
        request, "gallery.html", form=Form.with_initial(), cases=[], as_of=None, now=NOW
    )


@pages_router.get("/gallery/desk", policy=SIGNED_IN)
async def desk(request: Request) -> Response:
    return render_page(request, "desk.html", form=Form.with_initial({"kind": "complaint"}))


@pages_router.post("/gallery/tickets", policy=allow(Role.OPERATOR))
async def register(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency
) -> Response:
    form = await read_form(request, Ticket)
    if form.cleaned is None:
        return render_page(request, "desk.html", 422, form=form, failed=True)
    return await idempotency.redirect(_register(request, form.cleaned), to="/gallery/done")


async def _register(request: Request, ticket: Ticket) -> None:
    failure = request.app.state.simulated_failure
    if failure == "refuse":
        raise Rejected("这件工单已被他人受理，请刷新后查看")
    if failure == "crash":
        raise RuntimeError("canary 13812345678")
    if failure == "away":
        raise ConnectionRefusedError
    request.app.state.registered.append(ticket.unit_id or ticket.unit)


@pages_router.get("/gallery/done", policy=SIGNED_IN)
async def done(request: Request) -> Response:
    return render_page(request, "done.html", count=len(request.app.state.registered))


@pages_router.post("/gallery/freeze", policy=SIGNED_IN)
async def freeze(request: Request, idempotency: Idempotency) -> Response:
    return await idempotency.redirect(_freeze(request), to="/gallery/done")


async def _freeze(request: Request) -> None:
    request.app.state.registered.append("frozen")


@pages_router.post("/gallery/drafts", policy=SIGNED_IN)
async def draft(request: Request) -> Response:
    if request.app.state.simulated_failure == "draft":
        raise ServiceUnavailable()
    request.app.state.drafts.append(dict(await request.form()))
    return PlainTextResponse("草稿已保存 14:02:11")


@pages_router.get("/gallery/queue", policy=SIGNED_IN)
async def queue(request: Request) -> Response:
    shown = request.app.state.cases
    if request.headers.get("hx-request"):
        return render_fragment(request, "queue.html", "rows", cases=shown)
    return render_page(request, "queue.html", cases=shown)


@pages_router.get("/gallery/cases/{number}", policy=SIGNED_IN)
async def case(request: Request, number: str) -> Response:
    found = next((each for each in cases(7) if each["number"] == number), None)
    if found is None:
        raise NotFound
    return render_page(request, "done.html", count=0)


@pages_router.get("/gallery/search", policy=SIGNED_IN)
async def search(request: Request, q: str = "") -> Response:
    request.app.state.asked.append(q)
    return PlainTextResponse(f"<p role=status>{len(q)}</p>", media_type="text/html")


@pages_router.get("/gallery/units", policy=SIGNED_IN)
async def units(request: Request, q: str = "") -> Response:
    request.app.state.asked.append(q)
    return JSONResponse(
        [
            {"value": key, "text": name, "hint": "类二"}
            for key, name in UNITS.items()
            if matches_search(q, search_terms(name))
        ]
    )


@pages_router.get("/scoring/palette", policy=SIGNED_IN)
async def palette(q: str = "") -> Response:
    found = [(key, name) for key, name in UNITS.items() if matches_search(q, search_terms(name))]
    return JSONResponse(
        palette_results(
            [PaletteResult("单位", name, f"/gallery/units/{key}", "类二") for key, name in found]
        )
    )


@pages_router.get("/gallery/units/{key}", policy=SIGNED_IN)
async def unit(request: Request, key: str) -> Response:
    return render_page(request, "done.html", count=0)


@pages_router.get("/notify/inbox/unread", policy=SIGNED_IN)
async def unread(request: Request) -> Response:
    return PlainTextResponse("3", media_type="text/html")


@pages_router.get("/gallery/busy", policy=SIGNED_IN)
async def busy() -> Response:
    raise TooManyRequests(900)


@pages_router.get("/gallery/office", policy=allow(Role.OFFICE))
async def office() -> Response:
    return PlainTextResponse("ok")


@pages_router.get("/gallery/number/{number}", policy=SIGNED_IN)
async def number(number: int) -> Response:
    return PlainTextResponse(str(number))


@pages_router.get("/p/", policy=PUBLIC)
async def public(request: Request, user: OptionalUser) -> Response:
    return render_page(request, "report.html", form=Form.with_initial())


@pages_router.post("/p/report", policy=PUBLIC)
async def report(request: Request) -> Response:
    form = await read_form(request, Ticket)
    return (
        render_page(request, "report.html", 422, form=form, failed=True)
        if form.cleaned is None
        else redirect(request, "/p/")
    )


@pages_router.get("/login", policy=PUBLIC)
async def login(request: Request) -> Response:
    return render_page(request, "sign-in.html", form=Form.with_initial())


@pages_router.get("/help", policy=SIGNED_IN)
async def help_page(request: Request) -> Response:
    return render_page(request, "help.html")


@pages_router.get("/gallery/document", policy=SIGNED_IN)
async def document(request: Request) -> Response:
    return render_page(request, "sheet.html")


class NewTicket(Input):
    title: str = Field(min_length=2, max_length=20)
    phone: str = Field("", pattern=r"^1\d{10}$")


@api_router.post("/tickets", policy=allow(Role.OPERATOR), status_code=201)
async def register_by_api(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, ticket: NewTicket
) -> Response:
    return await idempotency.respond(201, _number(request, ticket))


async def _number(request: Request, ticket: NewTicket) -> dict[str, Any]:
    if request.app.state.simulated_failure == "refuse":
        raise Rejected("编号已用完", status=409, field="title")
    if request.app.state.simulated_failure == "crash":
        raise RuntimeError(f"canary {ticket.phone}")
    request.app.state.registered.append(ticket.title)
    return {"number": len(request.app.state.registered), "id": uuid4()}


@api_router.post("/files", policy=SIGNED_IN, body_max=2_000_000)
async def upload(request: Request, idempotency: Idempotency) -> Response:
    return await idempotency.respond(201, _size(request))


async def _size(request: Request) -> dict[str, int]:
    sent = (await request.form())["photo"]
    assert not isinstance(sent, str)
    return {"bytes": len(await sent.read())}


def make_app(folder: Path | None = None) -> FastAPI:
    """The gallery, with somebody of every role able to sign in by cookie `token-<role>`."""
    app = FastAPI(openapi_url=None)
    state = app.state
    state.sessions, state.database, state.context = MemorySessions(), MemoryDatabase(), None
    state.registered, state.drafts, state.asked, state.simulated_failure, state.cases = (
        [],
        [],
        [],
        "",
        cases(7),
    )
    for role in Role:
        state.sessions.sign_in(role)
    install(
        app,
        service="gallery",
        settings=Settings(environment="test"),
        version="0.1.0",
        templates=folder or Path(__file__).parent,
    )
    app.include_router(pages_router)
    app.include_router(api_router)
    check_policies(app)
    return app
