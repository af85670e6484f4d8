"""审计日志: who saw which subjects, for auditors only, and every look at it is an entry itself."""

import csv
import io
import re
from datetime import timedelta

import pytest
from fastapi.routing import APIRoute

from services.casework.app import build as build_casework
from services.notify.app import build as build_notify
from services.scoring.app import build as build_scoring
from shared.appraisal.labels import Role
from shared.security.audit_actions import AUDIT_ACTIONS
from shared.security.policies import SIGNED_IN
from shared.web import list_routes
from shared.web.navigation import AUDITOR
from tests.intake.conftest import complaint

pytestmark = pytest.mark.stack


async def registered(office, key, count):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answers = [
            await operator.post("/intake/api/complaints", json=complaint(), headers=key())
            for _ in range(count)
        ]
    return [answer.json() for answer in answers]


async def read(office, number, role):
    async with await office.signed_in(role) as client:
        assert (await client.get(f"/intake/tickets/{number}")).status_code == 200


async def rows_of(client, query):
    answer = await client.get(f"/intake/audit/export?{query}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


# ── the drill ─────────────────────────────────────────────────────────────────────────────────────


async def test_auditor_answers_whom_an_account_saw_in_a_period(office, key, clock):
    """A reviewer's account leaked: which complaints did it see between two days?"""
    tickets = await registered(office, key, 4)
    await clock.set(await clock.now())
    await read(office, tickets[0]["number"], Role.REVIEWER)
    await clock.advance(days=3)
    first_day = await clock.now()
    for ticket in (tickets[1], tickets[2], tickets[2]):
        await read(office, ticket["number"], Role.REVIEWER)
    await read(office, tickets[3]["number"], Role.SUPERVISOR)
    last_day = await clock.now()
    await clock.advance(days=3)
    await read(office, tickets[3]["number"], Role.REVIEWER)
    local = [f"{day + timedelta(hours=8):%Y-%m-%d}" for day in (first_day, last_day)]
    query = f"account=shenhe&since={local[0]}&until={local[1]}&view=subjects"

    async with await office.signed_in(Role.AUDITOR) as auditor:
        page = await auditor.get(f"/intake/audit?{query}")
        rows = await rows_of(auditor, query)

    seen = {(row["对象名称"], row["次数"]) for row in rows}
    assert seen == {(tickets[1]["number"], "1"), (tickets[2]["number"], "2")}
    assert all(number in page.text for number in (tickets[1]["number"], tickets[2]["number"]))
    assert tickets[3]["number"] not in page.text


async def test_entries_are_filtered_by_action_and_subject(office, key):
    [first, second] = await registered(office, key, 2)
    await read(office, first["number"], Role.REVIEWER)
    async with await office.signed_in(Role.AUDITOR) as auditor:
        by_subject = await rows_of(auditor, f"subject={second['number']}")
        by_action = await rows_of(auditor, "action=complaint.read")
        nothing = await rows_of(auditor, "account=nobody-of-this-name")
    assert {row["对象名称"] for row in by_subject} == {second["number"]}
    assert [row["操作"] for row in by_action] == ["查看受理详情"]
    assert by_action[0]["账号名称"] == "张立（shenhe）"
    assert nothing == []


async def test_long_log_has_pages(office):
    async with office.transaction() as tx:
        for number in range(120):
            tx.audit("complaint.read", f"s{number:03}", "somebody")
    async with await office.signed_in(Role.AUDITOR) as auditor:
        pages = [
            (await auditor.get(f"/intake/audit?account=somebody&page={number}")).text
            for number in (1, 2, 3)
        ]
    shown = [set(re.findall(r"\bs\d{3}\b", page)) for page in pages]
    assert [len(each) for each in shown] == [50, 50, 20]
    assert len(set.union(*shown)) == 120


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=0001-01-01", "page=0", "page=99999999", "view=all"]
)
async def test_filter_that_makes_no_sense_is_refused(office, query):
    async with await office.signed_in(Role.AUDITOR) as auditor:
        assert (await auditor.get(f"/intake/audit?{query}")).status_code == 422
        assert (await auditor.get(f"/intake/audit/export?{query}")).status_code == 422


async def test_export_holds_no_formula(office):
    async with office.transaction() as tx:
        tx.audit("complaint.read", "=HYPERLINK(1)", "+somebody", note="@x")
    async with await office.signed_in(Role.AUDITOR) as auditor:
        rows = await rows_of(auditor, "action=complaint.read")
    assert (rows[0]["对象"], rows[0]["账号"]) == ("'=HYPERLINK(1)", "'+somebody")


async def test_reading_the_log_is_an_entry_of_the_log(office):
    auditor_id = str(office.person(Role.AUDITOR).id)
    async with await office.signed_in(Role.AUDITOR) as auditor:
        await auditor.get("/intake/audit?account=shenhe&view=subjects")
        await rows_of(auditor, "account=shenhe")
    async with office.transaction() as tx:
        found = await tx.fetch(
            "select action, subject from audit where actor = $1 order by id", auditor_id
        )
    reviewer = str(office.person(Role.REVIEWER).id)
    assert [tuple(row) for row in found] == [
        ("audit.read", reviewer),
        ("audit.exported", reviewer),
    ]


# ── the auditor and nobody else, the log and nothing else ─────────────────────────────────────────


def routes_for(app, role):
    """Return (path, policy) of the routes that admit a role because of its role."""
    for path, route in list_routes(app):
        policy = getattr(route, "policy", None)
        if isinstance(route, APIRoute) and policy and role in policy.roles:
            yield path, policy


async def test_auditor_reads_the_log_and_its_evidence_and_nothing_else(office, settings):
    own = {"/", "/palette", "/help"}
    services = [office.service, build_casework(settings), build_scoring(settings)]
    services.append(build_notify(settings))
    for service in services:
        business = {
            path
            for path, policy in routes_for(service.app, Role.AUDITOR)
            if policy is not SIGNED_IN
        }
        log = {f"/{service.name}/audit", f"/{service.name}/audit/export"}
        evidence = {f"/{service.name}/evidence", "/intake/reconciliation"}
        assert business - evidence == log
    personal = {
        path
        for path, policy in routes_for(office.service.app, Role.AUDITOR)
        if policy is SIGNED_IN and not path.startswith("/me")
    }
    assert personal == own | {"/intake/api/sessions/current"}
    for service in services[1:]:
        await service.close()


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.AUDITOR])
async def test_nobody_else_reads_the_log(office, role):
    async with await office.signed_in(role) as client:
        assert (await client.get("/intake/audit")).status_code == 403
        assert (await client.get("/intake/audit/export")).status_code == 403
    assert Role.AUDITOR in AUDITOR.roles


async def test_every_written_action_has_a_name(office, key):
    """The audit entries that a morning's work writes are named on the page."""
    [ticket] = await registered(office, key, 1)
    await read(office, ticket["number"], Role.REVIEWER)
    async with office.transaction() as tx:
        written = await tx.fetch("select distinct action from audit")
    assert {row["action"] for row in written} <= set(AUDIT_ACTIONS)
