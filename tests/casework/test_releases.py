"""No unit reads a text, or has a case, before a person released its redacted summary."""

from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from services.casework.actions import assignment, releases
from services.casework.handlers import process_complaints, process_findings
from services.casework.store.case_lists import CaseFilter
from services.casework.views.case_lists import count_cases, list_cases, search_cases
from services.casework.views.cases import case_details
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseAssigned,
    CaseNotAccepted,
    CaseOpened,
    CaseReleased,
    CaseSummaryCorrected,
    ComplaintSummaryReleased,
    DeadlineLapsed,
    DeadlineWarned,
    Meta,
)
from shared.appraisal.labels import ComplaintKind
from tests.casework.conftest import CAMPAIGN, FRIDAY, LI, SUN, ZHANG

pytestmark = pytest.mark.stack

TEXT = "反映窗口工作时间无人在岗"


async def visible_to(world, user, number) -> bool:
    try:
        await world.do(case_details, number=number, user=user)
    except Rejected:
        return False
    return True


async def test_a_complaint_reaches_its_unit_only_when_its_summary_is_released(world):
    number = await world.open(redacted_summary=None)

    case = await world.case(number)
    assert (case.state, case.unit_id, case.redacted_summary) == ("pending", None, "")
    for someone in (LI, ZHANG):
        assert not await visible_to(world, someone, number)
        assert (await world.do(list_cases, user=someone, wanted=CaseFilter())).total == 0
        assert await world.do(search_cases, user=someone, q=number) == []
    [opened] = await world.events(CaseOpened, CaseAssigned)
    assert [deadline.kind for deadline in opened.deadlines] == ["release", "assign"]

    await world.release(number, TEXT)

    details = await world.do(case_details, number=number, user=LI)
    assert (details.state, details.unit_id, details.redacted_summary) == (
        "assigned",
        "health",
        TEXT,
    )
    deadlines = await world.case_deadlines(number)
    assert {kind: row["state"] for kind, row in deadlines.items()} == {
        "release": "completed",
        "assign": "completed",
        "accept": "running",
        "handle": "running",
    }
    [assigned] = await world.events(CaseAssigned, CaseReleased)
    assert [deadline.kind for deadline in assigned.deadlines] == ["accept", "handle"]


async def test_a_released_report_waits_for_the_reviewer_to_assign_it(world):
    number = await world.open(kind=ComplaintKind.REPORT, redacted_summary=None)
    with pytest.raises(Rejected, match="还没有审核放行"):
        await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)

    await world.release(number, TEXT)

    assert (await world.case(number)).unit_id is None
    assert [type(event) for event in await world.events(CaseReleased, CaseAssigned)] == [
        CaseReleased
    ]
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    assert not await visible_to(world, LI, number)


async def test_the_reviewers_deadline_runs_from_registration_and_never_lapses_in_silence(world):
    number = await world.open(redacted_summary=None)
    release = (await world.case_deadlines(number))["release"]
    assert release["starts_at"] - FRIDAY < timedelta(minutes=1)

    await world.clock.set(release["warn_at"] + timedelta(minutes=1))
    await world.sweep()
    await world.clock.set(release["due_at"] + timedelta(minutes=1))
    await world.sweep()

    [warned] = [each for each in await world.events(DeadlineWarned) if each.deadline == "release"]
    [lapsed] = [each for each in await world.events(DeadlineLapsed) if each.deadline == "release"]
    assert (warned.number, lapsed.number, lapsed.unit_id) == (number, number, None)


async def test_the_database_refuses_a_unit_before_the_release(world):
    from asyncpg import CheckViolationError

    number = await world.open(redacted_summary=None)

    with pytest.raises(CheckViolationError, match="released"):
        await world.value(
            "update cases set unit_id = 'health', state = 'assigned' where number = $1 returning 1",
            number,
        )


async def test_a_corrected_summary_replaces_the_text_and_notifies_the_unit(world):
    number = await world.open()

    await world.release(number, TEXT, release=2)

    details = await world.do(case_details, number=number, user=LI)
    assert (details.redacted_summary, details.history[0].label) == (TEXT, "更正摘要")
    [corrected] = await world.events(CaseSummaryCorrected)
    assert corrected.unit_id == "health"
    assert (await world.case(number)).version == 1, "forms that are open stay valid"


async def test_a_summary_released_at_the_desk_assigns_the_case_in_the_same_batch(world):
    registered = await world.complaint()
    released = ComplaintSummaryReleased(
        occurred_at=registered.occurred_at,
        complaint_id=registered.complaint_id,
        campaign_id=CAMPAIGN,
        release=1,
        redacted_summary=TEXT,
    )
    batch = [
        (event, Meta(uuid4(), event.name, event.key, n, event.occurred_at, event.topic, 0, n))
        for n, event in enumerate((registered, released), 1)
    ]

    await world.do(process_complaints, batch=batch)

    opened, assigned = await world.events(CaseOpened, CaseAssigned, CaseSummaryCorrected)
    assert (opened.deadlines, assigned.unit_id) == ((), "health")


async def test_a_case_can_be_refused_before_its_summary_is_released(world):
    number = await world.open(redacted_summary=None)
    reason = world.scheme.case_rules.not_accepted_reasons[0].code

    await world.do(
        assignment.refuse_case, number=number, reason=reason, explanation="不属于受理范围", by=SUN
    )
    await world.release(number, TEXT)

    assert (await world.case(number)).state == "not_accepted"
    assert len(await world.events(CaseNotAccepted)) == 1
    assert await world.events(CaseReleased, CaseAssigned) == []


async def test_a_release_without_a_case_changes_nothing(world):
    repeated = await world.complaint()

    event = ComplaintSummaryReleased(
        occurred_at=FRIDAY,
        complaint_id=repeated.complaint_id,
        campaign_id=CAMPAIGN,
        release=1,
        redacted_summary=TEXT,
    )
    await world.do(releases.apply_releases, texts=[releases.text_of_complaint(event)])

    assert (await world.do(count_cases, user=SUN)).by_state.total() == 0


# ── findings of inspections ───────────────────────────────────────────────────────────────────────


async def processed(world, *events):
    batch = [
        (event, Meta(uuid4(), event.name, event.key, n, event.occurred_at, event.topic, 0, n))
        for n, event in enumerate(events, 1)
    ]
    await world.do(process_findings, batch=batch)


async def test_a_finding_reaches_its_unit_with_the_released_text_and_the_day_it_may_see(world):
    finding = await world.finding()
    await processed(world, finding)
    [number] = [row["number"] for row in await world.rows("select number from cases")]
    assert (await world.case(number)).unit_id is None
    assert set(await world.case_deadlines(number)) == {"release", "assign"}

    await processed(world, await world.released_finding(finding, TEXT))

    case = await world.case(number)
    assert (case.state, case.unit_id, case.redacted_summary) == ("assigned", "roads", TEXT)
    assert case.received_on.isoformat() == "2026-11-19"
    deadlines = await world.case_deadlines(number)
    assert deadlines["handle"]["state"] == "running"
    [assigned] = await world.events(CaseAssigned)
    assert [deadline.kind for deadline in assigned.deadlines] == ["accept", "handle"]


async def test_a_finding_that_nobody_releases_warns_and_lapses(world):
    await processed(world, await world.finding())

    [number] = [row["number"] for row in await world.rows("select number from cases")]
    release = (await world.case_deadlines(number))["release"]
    for moment in (release["warn_at"], release["due_at"]):
        await world.clock.set(moment + timedelta(minutes=1))
        await world.sweep()

    assert "release" in {event.deadline for event in await world.events(DeadlineWarned)}
    assert "release" in {event.deadline for event in await world.events(DeadlineLapsed)}


async def test_a_corrected_finding_keeps_the_day_that_its_unit_was_shown(world):
    finding = await world.finding()
    await processed(world, finding, await world.released_finding(finding, "原来的文字"))
    [number] = [row["number"] for row in await world.rows("select number from cases")]

    again = replace(
        await world.released_finding(finding, TEXT, release=2), received_on=FRIDAY.date()
    )
    await processed(world, again)

    case = await world.case(number)
    assert (case.redacted_summary, case.received_on.isoformat()) == (TEXT, "2026-11-19")
    assert len(await world.events(CaseSummaryCorrected)) == 1
