"""提高紧急程度: the shorter limits count from now on, and nothing that is due already moves."""

from datetime import timedelta

import pytest

from services.casework.actions import urgency
from shared.appraisal.events import CaseRescheduled, ComplaintUrgencyRaised
from shared.appraisal.labels import Urgency
from tests.casework.conftest import CAMPAIGN, FRIDAY

pytestmark = pytest.mark.stack


async def raise_urgency(world, number, wanted=Urgency.URGENT):
    event = ComplaintUrgencyRaised(
        occurred_at=await world.clock.now(),
        complaint_id=(await world.case(number)).source_id,
        campaign_id=CAMPAIGN,
        urgency=wanted,
    )
    await world.do(urgency.raise_urgency, event=event)


async def handling_due(world, number):
    return (await world.case_deadlines(number))["handle"]["due_at"]


async def test_an_urgent_case_is_due_sooner_and_its_handler_is_notified(world):
    number = await world.open()
    before = await handling_due(world, number)

    await raise_urgency(world, number)

    assert await handling_due(world, number) < before
    assert (await world.case(number)).urgency == Urgency.URGENT
    [event] = await world.events(CaseRescheduled)
    assert "handle" in {each.kind for each in event.deadlines}
    states = await world.rows(
        "select state, count(*) from deadlines where kind = 'handle' group by state order by state"
    )
    assert [tuple(row) for row in states] == [("cancelled", 1), ("running", 1)]


async def test_raising_twice_or_lowering_changes_nothing(world):
    number = await world.open(urgency=Urgency.CRITICAL)
    await raise_urgency(world, number)
    assert (await world.case(number)).urgency == Urgency.CRITICAL
    other = await world.open(number="TS2026-000002")
    await raise_urgency(world, other)
    due = await world.case_deadlines(other)
    await world.clock.advance(hours=1)
    await raise_urgency(world, other)
    assert await world.case_deadlines(other) == due


async def test_a_deadline_that_is_over_stays_over(world):
    number = await world.open()
    await world.clock.set(FRIDAY + timedelta(days=60))
    await world.sweep()
    before = await world.case_deadlines(number)

    await raise_urgency(world, number)

    assert await world.case_deadlines(number) == before
