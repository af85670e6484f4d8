"""A void ballot stays stored, counts for nothing, and order and repetition change nothing."""

import asyncio
from itertools import permutations

import pytest

from services.scoring.actions.ballots import apply_ballot_events
from services.scoring.actions.campaigns import show_to_units
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsHeld, BallotsHoldEnded, BallotsVoided
from tests.scoring.factories import CAMPAIGN, NOON, OFFICE, UNITS, ballot, consumed, uuid_of

pytestmark = pytest.mark.stack
EVENT = uuid_of("integrity event")
DECISION = {
    "integrity_event_id": EVENT,
    "campaign_id": CAMPAIGN,
    "reason": "现场核对发放登记，确认由同一人代填",
    "proposed_by": uuid_of("office"),
    "decided_by": uuid_of("reviewer"),
}


def held() -> BallotsHeld:
    return BallotsHeld(
        occurred_at=NOON,
        integrity_event_id=EVENT,
        campaign_id=CAMPAIGN,
        instrument="cities",
        group="city_units",
        kind="burst",
        ballots=40,
    )


def voided(*numbers: int) -> BallotsVoided:
    return BallotsVoided(
        occurred_at=NOON,
        instrument="cities",
        group="city_units",
        kind="burst",
        ballot_ids=tuple(uuid_of("ballot", no) for no in numbers),
        **DECISION,
    )


def ended(verdict: str = "void") -> BallotsHoldEnded:
    return BallotsHoldEnded(occurred_at=NOON, verdict=verdict, **DECISION)


def about_everyone(option: int) -> list[tuple[int, int, int]]:
    return [(no, item, option) for no in range(1, len(UNITS) + 1) for item in range(1, 6)]


async def totals(scoring) -> list[str | None]:
    return [body for _, body in await scoring.bytes()]


async def tally(scoring) -> int:
    async with scoring.transaction() as tx:
        return await tx.fetchval("select coalesce(sum(answer_count), 0)::int from tallies")


async def test_a_void_ballot_is_taken_out_and_stays_stored(scoring):
    await scoring.consume(ballot(1, about_everyone(1)))
    await scoring.rescore_pending()
    before = await totals(scoring)
    await scoring.consume(ballot(2, about_everyone(3)))
    await scoring.rescore_pending()
    assert await totals(scoring) != before

    await scoring.consume(voided(2))
    await scoring.rescore_pending()

    assert await totals(scoring) == before
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 2
        assert await tx.fetchval("select count(*) from voided_ballots") == 1
    assert (await scoring.recount()).differences == []


@pytest.mark.parametrize(
    "order", [pytest.param(o, id="".join(map(str, o))) for o in permutations(range(3))]
)
async def test_order_and_repetition_of_count_and_void_change_nothing(scoring, order):
    events = [ballot(1, about_everyone(1)), ballot(2, about_everyone(3)), voided(2)]

    for number in order:
        await scoring.consume(events[number])
        await scoring.consume(events[number], partition=1)
    await scoring.rescore_pending()

    assert await tally(scoring) == len(about_everyone(1))
    assert (await scoring.recount()).differences == []


async def test_a_ballot_that_is_counted_while_it_is_voided_is_not_counted(scoring):
    for first in range(1, 21, 2):
        await asyncio.gather(
            scoring.consume(ballot(first, about_everyone(1)), partition=0),
            scoring.consume(voided(first, first + 1), partition=1),
            scoring.consume(ballot(first + 1, about_everyone(1)), partition=2),
        )
    await scoring.rescore_pending()

    assert await tally(scoring) == 0
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 20


async def test_voiding_waits_for_a_count_that_is_not_committed(scoring):
    async with scoring.transaction() as tx:
        await apply_ballot_events(tx, [consumed(ballot(1, about_everyone(1)))])
        voiding = asyncio.create_task(scoring.consume(voided(1), partition=1))
        await asyncio.sleep(0.3)
        assert not voiding.done()
    await voiding

    assert await tally(scoring) == 0


async def test_scores_are_not_shown_to_units_while_ballots_are_held(scoring):
    await scoring.consume(held())
    async with scoring.transaction() as tx:
        with pytest.raises(Rejected) as rejected:
            await show_to_units(tx, campaign_id=CAMPAIGN, shown=True, by=OFFICE)
    assert "疑似异常" in rejected.value.sentence

    await scoring.consume_batch([consumed(ended("count"), version=2)])
    async with scoring.transaction() as tx:
        await show_to_units(tx, campaign_id=CAMPAIGN, shown=True, by=OFFICE)


async def test_an_end_that_arrives_before_its_hold_ends_it(scoring):
    await scoring.consume(ended())
    await scoring.consume(held())

    async with scoring.transaction() as tx:
        row = await tx.fetchrow("select kind, verdict, reason from integrity_events")
    assert dict(row) == {"kind": "burst", "verdict": "void", "reason": DECISION["reason"]}
