"""并案: the case of a repetition ends, and goes on as it was if the merger is undone."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.casework.actions import assignment, handling, mergers, pauses
from services.casework.domain.states import CaseState
from services.casework.store.case_lists import CaseFilter
from services.casework.store.cases import set_repeats
from services.casework.views.case_lists import list_cases
from services.casework.views.cases import case_details
from shared.appraisal.events import (
    CaseMerged,
    CaseUnmerged,
    CaseWithdrawn,
    ComplaintMerged,
    ComplaintUnmerged,
    DeadlineLapsed,
)
from shared.appraisal.labels import ComplaintKind
from tests.casework.conftest import CAMPAIGN, CHEN, LI, SUN, ZHAO, ZHOU, World

pytestmark = pytest.mark.stack


async def merge(world: World, number: str) -> None:
    event = ComplaintMerged(
        occurred_at=await world.clock.now(),
        complaint_id=(await world.case(number)).source_id,
        campaign_id=CAMPAIGN,
        into_id=uuid4(),
    )
    await world.do(mergers.merge_case, event=event)


async def unmerge(world: World, number: str) -> None:
    event = ComplaintUnmerged(
        occurred_at=await world.clock.now(),
        complaint_id=(await world.case(number)).source_id,
        campaign_id=CAMPAIGN,
    )
    await world.do(mergers.unmerge_case, event=event)


async def active(world: World, number: str) -> dict[str, tuple[str, object]]:
    """The active deadlines of a case: kind → state and end."""
    rows = await world.case_deadlines(number)
    return {
        kind: (row["state"], row["due_at"]) for kind, row in rows.items() if row["ended_at"] is None
    }


async def waiting_for_release(world: World) -> str:
    return await world.open(redacted_summary=None)


async def pending(world: World) -> str:
    return await world.open(unit_id=None)


async def assigned(world: World) -> str:
    return await world.open()


async def accepted(world: World) -> str:
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)
    return number


async def paused(world: World) -> str:
    number = await accepted(world)
    until = await world.clock.now() + timedelta(days=10)
    await world.do(pauses.pause_case, number=number, reason="supplement", until=until, by=ZHAO)
    return number


@pytest.mark.parametrize("start", [waiting_for_release, pending, assigned, accepted, paused])
async def test_undoing_a_merger_restores_state_and_clocks(world, start):
    number = await start(world)
    before = await world.case(number)
    clocks = await active(world, number)
    assert clocks

    for _ in range(2):
        await merge(world, number)
    assert (await world.case(number)).state == CaseState.MERGED
    assert await active(world, number) == {}
    await world.clock.advance(minutes=30)
    await world.sweep()
    for _ in range(2):
        await unmerge(world, number)

    after = await world.case(number)
    assert (after.state, after.unit_id, after.handler_id) == (
        before.state,
        before.unit_id,
        before.handler_id,
    )
    assert await active(world, number) == clocks
    assert len(await world.events(CaseMerged)) == len(await world.events(CaseUnmerged)) == 1
    assert await world.events(DeadlineLapsed) == []


async def test_a_merged_case_lapses_no_more_and_what_passed_meanwhile_lapses_after_the_undoing(
    world,
):
    number = await accepted(world)
    await merge(world, number)
    await world.clock.advance(days=60)
    await world.sweep()
    assert await world.events(DeadlineLapsed) == []

    await unmerge(world, number)
    await world.sweep()

    assert [event.deadline for event in await world.events(DeadlineLapsed)] == ["handle"]


async def test_a_pause_that_ended_meanwhile_ends_after_the_undoing(world):
    number = await paused(world)
    await merge(world, number)
    await world.clock.advance(days=20)
    await world.do(pauses.resume_due_cases)
    assert (await world.case(number)).state == CaseState.MERGED

    await unmerge(world, number)
    await world.do(pauses.resume_due_cases)

    assert (await world.case(number)).state == CaseState.HANDLING


async def test_a_unit_that_was_accused_meanwhile_does_not_get_the_case_back(world):
    number = await world.open(kind=ComplaintKind.REPORT, unit_id=None)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await merge(world, number)
    await world.accuse(number, "schools", record=2)
    assert (await world.case(number)).state == CaseState.MERGED

    await unmerge(world, number)

    case = await world.case(number)
    assert (case.state, case.unit_id) == (CaseState.PENDING, None)
    assert len(await world.events(CaseWithdrawn)) == 1


async def test_a_case_that_has_ended_keeps_its_result(world):
    number = await world.open(unit_id=None)
    await world.do(assignment.refuse_case, number=number, reason="unclear", explanation="", by=SUN)

    await merge(world, number)
    await unmerge(world, number)

    assert (await world.case(number)).state == CaseState.NOT_ACCEPTED
    assert await world.events(CaseMerged) == []


async def test_nobody_but_reviewer_and_supervisor_counts_repetitions_of_a_report(world):
    number = await world.open(kind=ComplaintKind.REPORT, unit_id=None)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    complaint_id = (await world.case(number)).source_id
    await world.do(set_repeats, complaint_id=complaint_id, repeats=2)

    shown = {}
    for user in (CHEN, ZHOU, SUN, ZHAO):
        details = await world.do(case_details, number=number, user=user)
        listed = await world.do(list_cases, user=user, wanted=CaseFilter())
        shown[user.role.value] = (details.repeats, listed.items[0].repeats)

    assert shown == {"handler": (0, 0), "office": (0, 0), "reviewer": (2, 2), "supervisor": (2, 2)}
