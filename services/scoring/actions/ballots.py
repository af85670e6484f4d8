"""Ballots: stored once, counted into the tallies or taken out of them, their units scored again."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.scoring.actions.changes import Trigger
from services.scoring.actions.rescoring import schedule_rescore
from services.scoring.domain.ballots import Ballot, ballots_of, check_answers
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.ledger import ScoreSource
from services.scoring.store import ballots, campaigns
from services.scoring.store.ballots import NewBallot
from shared.appraisal.ballots import (
    Answer,
    answer_of,
    has_duplicate_answers,
    packed_numbers,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsReleased, BallotsVoided, Event, Meta
from shared.foundation import telemetry
from shared.foundation.grouping import group_by
from shared.storage.transaction import Transaction

GroupCounts = Mapping[tuple[str, str], Mapping[Answer, int]]
"""(instrument, group) → how often each answer was given."""


async def apply_ballot_events(
    tx: Transaction,
    consumed: Sequence[tuple[Event, Meta]],
) -> None:
    """Count released ballots and void others, in any order; repetitions change nothing."""
    released = [(event, meta) for event, meta in consumed if isinstance(event, BallotsReleased)]
    voided = [(event, meta) for event, meta in consumed if isinstance(event, BallotsVoided)]
    campaign_ids = {event.campaign_id for event, _ in released}
    campaign_ids |= {event.campaign_id for event, _ in voided}
    await ballots.lock_counting(tx, campaign_ids, voiding=bool(voided))
    if released:
        await count_ballots(tx, released)
    for event, meta in voided:
        await _void(tx, event, shard=meta.partition)


async def count_ballots(tx: Transaction, consumed: Sequence[tuple[BallotsReleased, Meta]]) -> None:
    """Store ballots and add their answers to the tallies; a stored ballot changes nothing.

    Raises Rejected for a ballot that its campaign does not ask for. The consumer then retries the
    batch event by event.
    """
    # A partition belongs to one replica at a time, so no other replica writes to this shard.
    shard = min(meta.partition for _, meta in consumed)
    by_campaign = group_by((event for event, _ in consumed), lambda event: event.campaign_id)
    known = await campaigns.find_campaigns(tx, by_campaign.keys())
    for campaign_id, events in by_campaign.items():
        if campaign_id not in known:
            raise Rejected("答卷所属的评议活动不存在")
        released = [ballot for event in events for ballot in ballots_of(event)]
        await _count(tx, known[campaign_id], released, shard)


async def _void(
    tx: Transaction,
    event: BallotsVoided,
    *,
    shard: int,
) -> None:
    """Store reversals and take the answers of counted ballots out of the tallies.

    A ballot that comes later is stored and not counted.
    """
    campaign = (await campaigns.find_campaigns(tx, [event.campaign_id])).get(event.campaign_id)
    if campaign is None:
        raise Rejected("答卷所属的评议活动不存在")
    counted = await ballots.void_ballots(
        tx, campaign.id, event.integrity_event_id, event.ballot_ids
    )
    taken: Counter[tuple[int, Answer]] = Counter()
    for ballot in counted:
        answers = map(answer_of, packed_numbers(ballot.answers))
        taken.subtract((ballot.response_group_id, answer) for answer in answers)
    await _change_tallies(tx, campaign, taken, shard)


async def _count(
    tx: Transaction,
    campaign: Campaign,
    released: Sequence[Ballot],
    shard: int,
) -> None:
    counts = _count_answers(released)
    _check_duplicates(campaign, released)
    _check_answers(campaign, counts)
    new = await ballots.insert_ballots(tx, campaign.id, _rows(campaign, released))
    if new is not None:
        released = _first_of_each(released, new)
    void = await ballots.voided_among(tx, campaign.id, [ballot.id for ballot in released])
    if new is not None or void:
        released = [ballot for ballot in released if ballot.id not in void]
        counts = _count_answers(released)
    if released:
        telemetry.score_inputs.labels(ScoreSource.BALLOT.value).inc(len(released))
        await _add_to_tallies(tx, campaign, counts, shard)


async def _add_to_tallies(
    tx: Transaction,
    campaign: Campaign,
    counts: GroupCounts,
    shard: int,
) -> None:
    """Add counted answers to the tallies and score their units again."""
    await _change_tallies(tx, campaign, _by_response_group(campaign, counts), shard)


async def _change_tallies(
    tx: Transaction,
    campaign: Campaign,
    added: Mapping[tuple[int, Answer], int],
    shard: int,
) -> None:
    await ballots.add_answer_counts(tx, added, shard=shard)
    units = {answer[0] for _, answer in added}
    if units:
        await schedule_rescore(tx, campaign, units, Trigger(ScoreSource.BALLOT), shard=shard)


def _rows(campaign: Campaign, released: Sequence[Ballot]) -> list[NewBallot]:
    return [_row(campaign, ballot) for ballot in released]


def _row(campaign: Campaign, ballot: Ballot) -> NewBallot:
    return NewBallot(
        ballot_id=ballot.id,
        response_group_id=campaign.response_group_ids[ballot.instrument, ballot.group],
        answers=ballot.answers,
        released_hour=ballot.released_hour,
    )


def _first_of_each(released: Sequence[Ballot], new: Collection[UUID]) -> list[Ballot]:
    """Return one ballot for each new id."""
    by_id = {ballot.id: ballot for ballot in released if ballot.id in new}
    return list(by_id.values())


def _count_answers(released: Sequence[Ballot]) -> GroupCounts:
    """Count the answers of each group. The inner loop runs in the interpreter's own C code."""
    by_group = group_by(released, lambda ballot: (ballot.instrument, ballot.group))
    return {
        group: _count_packed([ballot.answers for ballot in ballots])
        for group, ballots in by_group.items()
    }


def _count_packed(packed: Sequence[bytes]) -> dict[Answer, int]:
    numbers = Counter(packed_numbers(b"".join(packed)))
    return {answer_of(number): count for number, count in numbers.items()}


def _check_duplicates(campaign: Campaign, released: Sequence[Ballot]) -> None:
    several = {one.key: one.items_with_several_answers for one in campaign.scheme.questionnaires}
    for ballot in released:
        numbers = packed_numbers(ballot.answers)
        if has_duplicate_answers(numbers, several.get(ballot.instrument, frozenset())):
            raise Rejected("答卷对同一单位的同一题目答了不止一次")


def _check_answers(campaign: Campaign, counts: GroupCounts) -> None:
    for (instrument, group), answers in counts.items():
        check_answers(
            answers,
            scheme=campaign.scheme,
            instrument=instrument,
            group=group,
            units=campaign.by_no,
        )


def _by_response_group(campaign: Campaign, counts: GroupCounts) -> dict[tuple[int, Answer], int]:
    ids = campaign.response_group_ids
    return {
        (ids[group], answer): count
        for group, answers in counts.items()
        for answer, count in answers.items()
    }
