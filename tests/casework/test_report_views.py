"""Every view of a 举报 leaves an audit entry, whichever page or API of casework showed it."""

import pytest

from services.casework.actions import assignment
from shared.appraisal.labels import ComplaintKind, Role
from shared.security.listed_reports import SAME_VIEW
from tests.casework.conftest import SUN, ZHAO
from tests.casework.test_routes import EVERYBODY, Client, client, routes  # noqa: F401

pytestmark = pytest.mark.stack


async def entries_about(world, number, user):
    return await world.rows(
        """
        select action from audit
        where subject = $1 and actor = $2 and action in ('report.listed', 'case.read')
        """,
        number,
        str(user.id),
    )


async def test_whoever_is_shown_a_report_is_in_the_audit_log(client: Client, world):  # noqa: F811
    number = await world.open(kind=ComplaintKind.REPORT, unit_id=None)
    await world.do(assignment.assign_case, number=number, unit_id="health", by=SUN)
    shown = set()
    for path in (path for method, path, _ in routes(client.service.app) if method == "GET"):
        for role, user in EVERYBODY.items():
            await world.clock.advance(seconds=SAME_VIEW.total_seconds() + 1)
            before = await entries_about(world, number, user)
            searched = {"q": number} if path.endswith("/palette") else {}
            answer = await client.request(
                "GET", path.replace("{number}", number), user, params=searched
            )
            if answer.status_code != 200 or number not in answer.text or "/audit" in path:
                continue
            shown.add((role, path))
            assert len(await entries_about(world, number, user)) > len(before), (path, role)
    assert {(Role.SUPERVISOR, "/casework/"), (Role.HANDLER, "/casework/")} <= shown
    assert (Role.SUPERVISOR, "/casework/cases/{number}") in shown
    assert (Role.SUPERVISOR, "/casework/palette") in shown
    assert len(shown) > 12


async def test_other_kinds_leave_an_entry_only_when_they_are_opened(client: Client, world):  # noqa: F811
    number = await world.open()
    await client.request("GET", "/casework/", ZHAO)
    assert await entries_about(world, number, ZHAO) == []
    await client.request("GET", f"/casework/cases/{number}", ZHAO)
    assert [row["action"] for row in await entries_about(world, number, ZHAO)] == ["case.read"]
