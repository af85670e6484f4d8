"""Access: every route of casework against every role, and against the people of the accused unit."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from services.casework.actions import assignment, handling
from services.casework.app import build
from services.casework.domain.states import ALLOWED_ROLES, READER_ROLES, CaseAction
from shared.appraisal.labels import ComplaintKind, Role, Urgency
from shared.security.policies import Account
from shared.storage.migrations import drift
from shared.web.routing import PolicyRoute, list_routes
from tests.casework.conftest import ACCOUNT, CHEN, FRIDAY, LI, REPLY, SUN, ZHANG, ZHAO, person

pytestmark = pytest.mark.stack

UNIT_ROLES = (Role.HANDLER, Role.UNIT_HEAD)
EVERYBODY = {
    role: person(100 + n, role.label, role, "health" if role in UNIT_ROLES else None)
    for n, role in enumerate(Role)
}


class Client:
    """A client of the service, and a token for every account."""

    def __init__(self, service: Any, http: httpx.AsyncClient) -> None:
        self.service = service
        self.http = http
        self.tokens: dict[Account, str] = {}

    async def request(
        self,
        method: str,
        path: str,
        user: Account,
        **options: Any,
    ) -> httpx.Response:
        if user not in self.tokens:
            self.tokens[user] = await self.service.app.state.sessions.create(user)
        headers = {
            "authorization": f"Bearer {self.tokens[user]}",
            "idempotency-key": str(uuid4()),
        } | options.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **options)


@pytest.fixture
async def client(settings, world) -> AsyncIterator[Client]:
    service = build(settings, run_jobs=False)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=service.app), base_url="http://casework.test"
    ) as http:
        yield Client(service, http)
    await service.app.state.redis.aclose()
    await service.database.close()


def routes(app):
    return [
        (method, path, route)
        for path, route in list_routes(app)
        if isinstance(route, PolicyRoute)
        for method in sorted(route.methods)
    ]


async def test_every_route_refuses_roles_that_its_policy_does_not_name(client, world):
    number = await world.open()
    refused = admitted = 0
    for method, path, route in routes(client.service.app):
        for role, user in EVERYBODY.items():
            answer = await client.request(
                method, path.replace("{number}", number).replace("{id}", str(uuid4())), user
            )
            if role in route.policy.roles:
                admitted += answer.status_code != 403
                assert answer.status_code != 500, (method, path, role)
            else:
                refused += 1
                assert answer.status_code == 403, (method, path, role, answer.status_code)
    assert refused > 200
    assert admitted > 50


async def test_a_unit_learns_no_minute_by_any_route(client, world):
    """A matter that arrives at 11:23 and is due two hours later."""
    await world.clock.set(FRIDAY + timedelta(hours=1, minutes=23, seconds=47))
    number = await world.open(urgency=Urgency.CRITICAL)
    await world.clock.set(FRIDAY + timedelta(hours=2, minutes=40))
    minute = re.compile(r"(?:03|05|11|13):23")
    case_id = str((await world.case(number)).id)
    read = []
    for method, path, route in routes(client.service.app):
        for user in (LI, ZHANG):
            if method != "GET" or user.role not in route.policy.roles:
                continue
            answer = await client.request("GET", path.replace("{number}", number), user)
            read.append(number in answer.text)
            assert not minute.findall(answer.text), (path, user.role)
            assert case_id not in answer.text, (path, user.role)
    supervisor = await client.request("GET", f"/casework/cases/{number}", ZHAO)
    assert sum(read) >= 4
    assert minute.search(supervisor.text), "the supervisor sees the minutes"


async def test_the_accused_unit_finds_a_report_by_no_route(client, world):
    canary = "举报内容金丝雀"
    number = await world.open(kind=ComplaintKind.REPORT, redacted_summary=canary)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await world.do(handling.accept_case, number=number, by=CHEN)
    for method, path, route in routes(client.service.app):
        for user in (LI, ZHANG):
            if user.role not in route.policy.roles:
                continue
            body = (
                {"json": {}}
                if "/api/" in path and method == "POST"
                else {"data": {"expected_version": "1"}}
                if method == "POST"
                else {}
            )
            answer = await client.request(
                method, path.replace("{number}", number).replace("{id}", str(uuid4())), user, **body
            )
            assert canary not in answer.text, (method, path)
            assert number not in answer.text.replace(path.replace("{number}", number), ""), (
                method,
                path,
            )
            if "{number}" in path and method == "GET":
                assert answer.status_code == 404
    for query in (f"q={number}", f"q={canary}", "state=handling"):
        assert (await client.request("GET", f"/casework/api/cases?{query}", LI)).json()[
            "total"
        ] == 0
    assert (await client.request("GET", f"/casework/palette?q={number}", LI)).json() == []
    assert (await client.request("GET", f"/casework/palette?q={number}", CHEN)).json()[0][
        "text"
    ] == number


async def test_an_action_through_the_api_takes_effect_once(client, world):
    number = await world.open()
    key = {"idempotency-key": "sign-1"}

    first = await client.request(
        "POST", f"/casework/api/cases/{number}/acceptance", LI, headers=key
    )
    again = await client.request(
        "POST", f"/casework/api/cases/{number}/acceptance", LI, headers=key
    )

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    stale = await client.request(
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
    sent = await client.request(
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
        await client.request(
            "POST", f"/casework/api/cases/{number}/review", ZHANG, json={"approve": True}
        )
    ).json()["state"] == "closed"
    shown = (await client.request("GET", f"/casework/api/cases/{number}", ZHAO)).json()
    assert (shown["state"], shown["results"][0]["reply"], shown["actions"]) == (
        "closed",
        REPLY,
        ["strike_off"],
    )


async def test_the_api_lists_filters_and_paginates(client, world):
    for unit in ("health", "health", "schools"):
        await world.open(unit_id=unit)

    everything = (await client.request("GET", "/casework/api/cases?size=2", ZHAO)).json()
    own = (await client.request("GET", "/casework/api/cases", LI)).json()
    owed = (await client.request("GET", "/casework/api/deadlines?kind=accept", LI)).json()

    assert (everything["total"], everything["pages"], len(everything["cases"])) == (3, 2, 2)
    assert {row["unit_id"] for row in own["cases"]} == {"health"}
    assert len(owed) == 2
    assert (await client.request("GET", "/casework/api/cases?unit=schools", LI)).json()[
        "total"
    ] == 0
    assert (await client.request("GET", "/casework/api/cases?size=9999", LI)).status_code == 422
    assert (await client.request("GET", "/casework/api/cases?q=%25", ZHAO)).json()["total"] == 0


async def test_pages_render_for_everybody_who_may_see_them(client, world):
    number = await world.open()
    await world.open(kind=ComplaintKind.REPORT)
    for path, user in (
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
        answer = await client.request("GET", path, user)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path


async def test_a_form_with_mistakes_is_rendered_as_it_was_typed(client, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await client.request(
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


async def test_personal_data_is_rejected_at_its_field(client, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await client.request(
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


async def test_jointly_handled_case_is_shown_in_queue_and_case(client, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)
    panel = await client.request("GET", f"/casework/cases/{number}?act=start_joint_handling", LI)
    assert "办理期限不变" in panel.text

    answer = await client.request(
        "POST",
        f"/casework/cases/{number}/joint-handling",
        LI,
        data={
            "expected_version": "2",
            "units": "省教育厅、省公安厅",
            "reason": "涉及两个单位的职责，需共同核查",
        },
    )

    assert answer.status_code == 303
    page = (await client.request("GET", f"/casework/cases/{number}", LI)).text
    assert "会办单位：省教育厅、省公安厅；事由：涉及两个单位的职责，需共同核查" in page
    assert "结束会办" in page
    queue = (await client.request("GET", "/casework/?tab=handle", LI)).text
    assert number in queue
    assert "会办" in queue
    listed = await client.request("GET", "/casework/api/cases?state=joint_handling", LI)
    assert listed.json()["total"] == 1
    ended = await client.request("POST", f"/casework/api/cases/{number}/joint-handling/end", LI)
    assert (ended.status_code, ended.json()["state"]) == (201, "handling")


async def test_a_stale_form_shows_what_changed_and_keeps_the_text(client, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)

    answer = await client.request(
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
    assert re.search(r'name="expected_version"\s+value="2"', answer.text)


async def test_the_migration_matches_the_tables(settings):
    assert await drift(settings.database_url, "casework") == []


def test_every_role_with_an_action_may_read_cases():
    assert ALLOWED_ROLES[CaseAction.ASSIGN] <= READER_ROLES
    assert all(roles <= READER_ROLES for roles in ALLOWED_ROLES.values())
