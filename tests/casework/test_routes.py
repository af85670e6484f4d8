"""Who gets in by which door: every route of casework against every role, and against the people of
the accused unit.
"""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from services.casework.actions import dispatch, handling
from services.casework.app import build
from services.casework.domain import MAY, READERS, Verb
from shared.appraisal.labels import ComplaintKind, Role
from shared.security.policies import Account
from shared.storage.migrations import drift
from shared.web.routing import PolicyRoute, list_routes
from tests.casework.conftest import ACCOUNT, CHEN, LI, REPLY, SUN, ZHANG, ZHAO, person

pytestmark = pytest.mark.stack

UNIT_ROLES = (Role.HANDLER, Role.UNIT_HEAD)
EVERYBODY = {
    role: person(100 + n, role.label, role, "health" if role in UNIT_ROLES else None)
    for n, role in enumerate(Role)
}


class Desk:
    """The service behind its doors, and a token for whoever asks."""

    def __init__(self, service: Any, client: httpx.AsyncClient) -> None:
        self.service, self.client = service, client
        self.tokens: dict[Account, str] = {}

    async def ask(self, method: str, path: str, who: Account, **options: Any) -> httpx.Response:
        if who not in self.tokens:
            self.tokens[who] = await self.service.sessions.create(who)
        headers = {
            "authorization": f"Bearer {self.tokens[who]}",
            "idempotency-key": str(uuid4()),
        } | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)


@pytest.fixture
async def desk(settings, world) -> AsyncIterator[Desk]:
    service = build(settings, run_jobs=False)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=service.app), base_url="http://casework.test"
    ) as client:
        yield Desk(service, client)
    await service.redis.aclose()
    await service.database.close()


def routes(app):
    return [
        (method, path, route)
        for path, route in list_routes(app)
        if isinstance(route, PolicyRoute)
        for method in sorted(route.methods)
    ]


async def test_every_route_refuses_every_role_that_its_policy_does_not_name(desk, world):
    number = await world.open()
    refused = admitted = 0
    for method, path, route in routes(desk.service.app):
        for role, who in EVERYBODY.items():
            answer = await desk.ask(
                method, path.replace("{number}", number).replace("{id}", str(uuid4())), who
            )
            if role in route.policy.roles:
                admitted += answer.status_code != 403
                assert answer.status_code != 500, (method, path, role)
            else:
                refused += 1
                assert answer.status_code == 403, (method, path, role, answer.status_code)
    assert refused > 200
    assert admitted > 50


async def test_nobody_of_the_accused_unit_finds_a_report_by_any_door(desk, world):
    canary = "举报内容金丝雀"
    number = await world.open(kind=ComplaintKind.REPORT, redacted_summary=canary)
    await world.do(dispatch.assign_case, number=number, unit_id="schools", by=SUN)
    await world.do(handling.accept_case, number=number, by=CHEN)
    for method, path, route in routes(desk.service.app):
        for who in (LI, ZHANG):
            if who.role not in route.policy.roles:
                continue
            body = (
                {"json": {}}
                if "/api/" in path and method == "POST"
                else {"data": {"expected_version": "1"}}
                if method == "POST"
                else {}
            )
            answer = await desk.ask(
                method, path.replace("{number}", number).replace("{id}", str(uuid4())), who, **body
            )
            assert canary not in answer.text, (method, path)
            assert number not in answer.text.replace(path.replace("{number}", number), ""), (
                method,
                path,
            )
            if "{number}" in path and method == "GET":
                assert answer.status_code == 404
    for query in (f"q={number}", f"q={canary}", "state=handling"):
        assert (await desk.ask("GET", f"/casework/api/cases?{query}", LI)).json()["total"] == 0
    assert (await desk.ask("GET", f"/casework/palette?q={number}", LI)).json() == []
    assert (await desk.ask("GET", f"/casework/palette?q={number}", CHEN)).json()[0][
        "text"
    ] == number


async def test_acts_go_through_the_api_and_only_once(desk, world):
    number = await world.open()
    key = {"idempotency-key": "sign-1"}

    first = await desk.ask("POST", f"/casework/api/cases/{number}/acceptance", LI, headers=key)
    again = await desk.ask("POST", f"/casework/api/cases/{number}/acceptance", LI, headers=key)

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    stale = await desk.ask(
        "POST",
        f"/casework/api/cases/{number}/submission",
        LI,
        json={
            "expected_version": 1,
            "account": ACCOUNT,
            "finding": "substantiated",
            "measures": "实行 AB 岗",
            "reply": REPLY,
        },
    )
    assert (stale.status_code, stale.headers["content-type"]) == (409, "application/problem+json")
    sent = await desk.ask(
        "POST",
        f"/casework/api/cases/{number}/submission",
        LI,
        json={
            "expected_version": 2,
            "account": ACCOUNT,
            "finding": "substantiated",
            "measures": "实行 AB 岗",
            "reply": REPLY,
        },
    )
    assert sent.status_code == 201
    assert (
        await desk.ask(
            "POST", f"/casework/api/cases/{number}/review", ZHANG, json={"approve": True}
        )
    ).json()["state"] == "closed"
    shown = (await desk.ask("GET", f"/casework/api/cases/{number}", ZHAO)).json()
    assert (shown["state"], shown["results"][0]["reply"], shown["verbs"]) == (
        "closed",
        REPLY,
        ["strike_off"],
    )


async def test_the_api_lists_filters_and_pages(desk, world):
    for unit in ("health", "health", "schools"):
        await world.open(unit_id=unit)

    everything = (await desk.ask("GET", "/casework/api/cases?size=2", ZHAO)).json()
    own = (await desk.ask("GET", "/casework/api/cases", LI)).json()
    owed = (await desk.ask("GET", "/casework/api/deadlines?kind=accept", LI)).json()

    assert (everything["total"], everything["pages"], len(everything["cases"])) == (3, 2, 2)
    assert {row["unit_id"] for row in own["cases"]} == {"health"}
    assert len(owed) == 2
    assert (await desk.ask("GET", "/casework/api/cases?unit=schools", LI)).json()["total"] == 0
    assert (await desk.ask("GET", "/casework/api/cases?size=9999", LI)).status_code == 422
    assert (await desk.ask("GET", "/casework/api/cases?q=%25", ZHAO)).json()["total"] == 0


async def test_pages_answer_for_everybody_who_may_see_them(desk, world):
    number = await world.open()
    await world.open(kind=ComplaintKind.REPORT)
    for path, who in (
        ("/casework/", LI),
        ("/casework/?tab=done", LI),
        (f"/casework/cases/{number}", LI),
        (f"/casework/cases/{number}?act=return", LI),
        ("/casework/triage", SUN),
        ("/casework/approvals", ZHANG),
        ("/casework/supervise", ZHAO),
        ("/casework/ledger", ZHAO),
        ("/casework/obligations", LI),
        ("/casework/calendar", EVERYBODY[Role.ADMIN]),
    ):
        answer = await desk.ask("GET", path, who)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path


async def test_a_form_with_mistakes_comes_back_as_it_was_typed(desk, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await desk.ask(
        "POST",
        f"/casework/cases/{number}/submission",
        LI,
        data={
            "expected_version": "2",
            "account": "已处理",
            "finding": "substantiated",
            "reply": "请联系 13800138000 办理后续事项",
        },
    )

    assert answer.status_code == 422
    assert "已处理" in answer.text
    assert "至少 50 个字" in answer.text


async def test_personal_data_is_stopped_at_its_field(desk, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await desk.ask(
        "POST",
        f"/casework/cases/{number}/submission",
        LI,
        data={
            "expected_version": "2",
            "account": ACCOUNT,
            "finding": "unsubstantiated",
            "reply": "请联系 13800138000 办理后续事项",
        },
    )

    assert answer.status_code == 422
    assert re.search(r'id="f-reply-e">[^<]*个人信息', answer.text)


async def test_who_was_slower_sees_what_changed_and_keeps_the_text(desk, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await desk.ask(
        "POST",
        f"/casework/cases/{number}/submission",
        LI,
        data={
            "expected_version": "1",
            "account": ACCOUNT,
            "finding": "substantiated",
            "measures": "实行 AB 岗",
            "reply": REPLY,
        },
    )

    assert answer.status_code == 409
    assert ACCOUNT in answer.text
    assert "刚才的操作没有生效" in answer.text
    assert 'name="expected_version" value="2"' in answer.text


async def test_the_schema_is_what_the_tables_say(settings):
    assert await drift(settings.database_url, "casework") == []


def test_policies_are_the_table_of_who_may():
    assert MAY[Verb.ASSIGN] <= READERS
    assert all(roles <= READERS for roles in MAY.values())
