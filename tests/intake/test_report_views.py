"""Every view of a 举报 leaves an audit entry, whichever page or API showed it."""

from uuid import uuid4

import pytest

from shared.appraisal.labels import Role
from shared.security.listed_reports import SAME_VIEW
from shared.web.routing import PolicyRoute, list_routes
from tests.intake.conftest import WORDS, complaint

pytestmark = pytest.mark.stack
QUERIES = {"/intake/palette": "?q={number}"}
"""What a search has to ask for."""


def read_routes(app):
    """Return the paths of GET routes whose only parameter is the number of a complaint."""
    return [
        (path, route)
        for path, route in list_routes(app)
        if isinstance(route, PolicyRoute)
        and "GET" in route.methods
        and "{" not in path.replace("{number}", "")
    ]


async def report(office, key):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post(
            "/intake/api/complaints", json=complaint(kind="report"), headers=key()
        )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def entries_about(office, complaint_id):
    async with office.transaction() as tx:
        return await tx.fetch(
            "select actor, action from audit where subject = $1 and action = any($2) order by id",
            complaint_id,
            ["report.listed", "complaint.read"],
        )


async def test_whoever_is_shown_a_report_is_in_the_audit_log(office, key, clock):
    await clock.set(await clock.now())
    registered = await report(office, key)
    shown = []
    for role in Role:
        async with await office.signed_in(role) as client:
            for path, route in read_routes(office.service.app):
                if not route.policy.allows(office.person(role)):
                    continue
                await clock.advance(seconds=SAME_VIEW.total_seconds() + 1)
                before = len(await entries_about(office, registered["id"]))
                url = path + QUERIES.get(path, "")
                answer = await client.get(url.replace("{number}", registered["number"]))
                if registered["number"] not in answer.text or "/audit" in path:
                    continue
                shown.append((role, path))
                entries = await entries_about(office, registered["id"])
                assert len(entries) > before, (role, path)
                assert entries[-1]["actor"] == str(office.person(role).id)
    paths = {path for _, path in shown}
    assert {
        "/intake/triage",
        "/intake/releases/{number}",
        "/intake/api/releases",
        "/intake/desk/mine",
    } <= paths
    assert {"/intake/tickets/{number}", "/intake/palette"} <= paths


async def test_panels_of_the_desk_leave_an_entry(office, key):
    registered = await report(office, key)
    await office.release(registered["number"])
    async with await office.signed_in(Role.OPERATOR) as operator:
        history = await operator.post(
            "/intake/desk/history", data={"draft_id": str(uuid4()), "phone": "13812345678"}
        )
        after_history = await entries_about(office, registered["id"])
        similar = await operator.post(
            "/intake/desk/similar",
            data={"campaign_id": "j-2026", "unit_id": "tcm", "redacted_summary": WORDS},
        )
    assert registered["number"] in history.text
    assert registered["number"] in similar.text
    operator_id = str(office.person(Role.OPERATOR).id)
    assert (operator_id, "report.listed") in [(e["actor"], e["action"]) for e in after_history]


async def test_a_refreshed_list_is_one_view(office, key, clock):
    await clock.set(await clock.now())
    registered = await report(office, key)
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        for _ in range(3):
            await reviewer.get("/intake/triage?list=all")
        once = len(await entries_about(office, registered["id"]))
        await clock.advance(seconds=SAME_VIEW.total_seconds() + 1)
        await reviewer.get("/intake/triage?list=all")
        twice = len(await entries_about(office, registered["id"]))
    assert (once, twice) == (1, 2)
