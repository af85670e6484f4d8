"""What comes in: ballots counted, ledger lines entered, decisions of people; each leaves word of
the units it moved.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from services.scoring import store
from services.scoring.actions import running
from services.scoring.actions.campaigns import campaign_of
from services.scoring.domain.ballots import check_answers
from services.scoring.domain.entries import SOURCES, Entry, entries_of
from shared.appraisal.ballots import (
    Answer,
    answer_of,
    has_duplicate_answers,
    pack,
    packed_numbers,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotSubmitted, Event, Meta
from shared.appraisal.schemes import Adjustment, Consequence, Veto
from shared.foundation import telemetry
from shared.storage.transaction import Transaction, new_id

Ballots = Sequence[tuple[BallotSubmitted, Meta]]
AT_ONCE_UNITS = 24
"""So many units moved by one batch are scored in its own transaction; more wait a moment for the
tick.
"""


async def count_ballots(tx: Transaction, heard: Ballots) -> None:
    """Keep ballots and add their answers to the tallies. A ballot that was kept before changes
    nothing.

    Raises Rejected for a ballot that its campaign does not ask for; the bus then takes the batch one
    by one.
    """
    # Partitions belong to one replica at a time, so the smallest of the batch is a shard that no
    # other replica writes to.
    shard = min(meta.partition for _, meta in heard)
    campaigns = await tx.context.campaign_cache.campaigns(
        tx, {event.campaign_id for event, _ in heard}
    )
    for campaign_id, events in _by_campaign([event for event, _ in heard]).items():
        if campaign_id not in campaigns:
            raise Rejected("答卷所属的评议活动不存在")
        await _count(tx, campaigns[campaign_id], events, shard)


def _by_campaign(events: Sequence[BallotSubmitted]) -> dict[str, list[BallotSubmitted]]:
    by_campaign: dict[str, list[BallotSubmitted]] = {}
    for event in events:
        by_campaign.setdefault(event.campaign_id, []).append(event)
    return by_campaign


async def _count(
    tx: Transaction, campaign: store.Campaign, events: list[BallotSubmitted], shard: int
) -> None:
    papers = {event.ballot_id: pack(event.answers) for event in events}
    _refuse_wrong(campaign, events, papers, answer_counts := _answer_counts(events, papers))
    response_group_ids = campaign.response_group_ids
    new = await store.keep_ballots(
        tx,
        campaign.id,
        [
            (
                e.ballot_id,
                response_group_ids[e.instrument, e.group],
                e.point,
                papers[e.ballot_id],
                e.occurred_at,
            )
            for e in events
        ],
    )
    if new is not None:
        events = list(
            {event.ballot_id: event for event in events if event.ballot_id in new}.values()
        )
        answer_counts = _answer_counts(events, papers)
    if not events:
        return
    counted = {
        (response_group_ids[response_group], answer): number
        for response_group, answers in answer_counts.items()
        for answer, number in answers.items()
    }
    await store.add_answer_counts(tx, counted, shard=shard)
    telemetry.score_inputs.labels("ballot").inc(len(events))
    await moved(
        tx, campaign, {answer[0] for _, answer in counted}, running.Cause("ballot"), shard=shard
    )


def _answer_counts(
    events: Sequence[BallotSubmitted], papers: Mapping[UUID, bytes]
) -> dict[tuple[str, str], dict[Answer, int]]:
    """(instrument, group) → how often each (unit, item, option) was given. The inner loop is the
    interpreter's own C code.
    """
    piles: dict[tuple[str, str], list[bytes]] = {}
    for event in events:
        piles.setdefault((event.instrument, event.group), []).append(papers[event.ballot_id])
    counts = {
        response_group: Counter(packed_numbers(b"".join(pile)))
        for response_group, pile in piles.items()
    }
    return {
        response_group: {answer_of(number): count for number, count in numbers.items()}
        for response_group, numbers in counts.items()
    }


def _refuse_wrong(
    campaign: store.Campaign,
    events: Sequence[BallotSubmitted],
    papers: Mapping[UUID, bytes],
    answer_counts: Mapping[tuple[str, str], Mapping[Answer, int]],
) -> None:
    if any(has_duplicate_answers(packed_numbers(paper)) for paper in papers.values()):
        raise Rejected("答卷对同一单位的同一题目答了不止一次")
    for (instrument, group), answers in answer_counts.items():
        check_answers(
            answers,
            scheme=campaign.scheme,
            instrument=instrument,
            group=group,
            units=campaign.by_no,
        )


async def enter_events(tx: Transaction, heard: Sequence[tuple[Event, Meta]]) -> None:
    """Enter cases, visits, ratings and lapsed obligations in the ledger, and score the units they
    concern.

    Raises Rejected for an event whose campaign, unit or checklist item is unknown.
    """
    ids = {_campaign_id(event) for event, _ in heard}
    campaigns = await tx.context.campaign_cache.campaigns(tx, ids)
    for campaign_id in sorted(ids):
        if campaign_id not in campaigns:
            raise Rejected("事件所属的评议活动不存在")
        campaign = campaigns[campaign_id]
        mine = [(event, meta) for event, meta in heard if _campaign_id(event) == campaign_id]
        lines = [
            line
            for event, meta in mine
            for line in entries_of(event, meta, scheme=campaign.scheme, units=campaign.numbers)
        ]
        await _enter(tx, campaign, lines, shard=min(meta.partition for _, meta in mine))


def _campaign_id(event: Event) -> str:
    campaign_id: str = event.campaign_id  # type: ignore[attr-defined]
    return campaign_id


async def _enter(
    tx: Transaction, campaign: store.Campaign, lines: Sequence[Entry], *, shard: int
) -> None:
    if not await store.enter(tx, campaign.id, lines):
        return
    for source, subjects in Counter(
        SOURCES[line.measure] for line in lines if line.part == 0
    ).items():
        telemetry.score_inputs.labels(source).inc(subjects)
    subjects_touched = {line.subject_id for line in lines} | {
        line.source_id for line in lines if line.source_id
    }
    touched = await store.touched_units(tx, campaign.id, subjects_touched)
    cause = running.Cause(SOURCES[lines[-1].measure], frozenset(line.event_id for line in lines))
    await moved(tx, campaign, set(touched), cause, shard=shard)


async def moved(
    tx: Transaction,
    campaign: store.Campaign,
    unit_nos: set[int],
    cause: running.Cause,
    *,
    shard: int,
) -> None:
    """Have these units scored: a few at once, in this transaction, as far as nobody else is at
    them; the others by the tick.
    """
    few = len(unit_nos) <= AT_ONCE_UNITS and running.is_due(tx, cause)
    at_once = running.rested(tx, campaign, unit_nos, cause) if few else set()
    done = await running.rescore(tx, campaign, at_once, cause, wait=False) if at_once else set()
    if left := unit_nos - done:
        await store.note_change(
            tx, campaign.id, shard=shard, source=cause.source, unit_nos=left, events=cause.events
        )


# ── decisions of people ───────────────────────────────────────────────────────────────────────────


async def decide(
    tx: Transaction,
    *,
    campaign_id: str,
    unit_id: str,
    rule_id: str,
    grounds: str,
    document: str,
    by: str,
) -> UUID:
    """认定: apply a rule that only a person may apply, with its grounds and the document that
    proves it. Gives the decision's id.

    Raises Rejected when the rule is not one of those, or the unit is unknown.
    """
    campaign = await campaign_of(tx, campaign_id)
    rule = campaign.scheme.rule(rule_id)
    by_person = isinstance(rule, Veto | Consequence) or (
        isinstance(rule, Adjustment) and rule.event == "decision"
    )
    if rule is None or not by_person:
        raise Rejected("这条规则不由人工认定", status=422, field="rule_id")
    if unit_id not in campaign.numbers:
        raise Rejected("单位不在本次评议的参评名册中", status=404, field="unit_id")
    decision = new_id()
    line = Entry(
        event_id=new_id(),
        measure="decision",
        subject_id=decision,
        version=1,
        occurred_at=tx.now,
        number=document,
        detail=rule_id,
        unit_no=campaign.numbers[unit_id],
        text=grounds,
    )
    await _enter(tx, campaign, [line], shard=0)
    tx.audit("score.decided", decision, by, campaign=campaign_id, unit=unit_id, rule=rule_id)
    return decision


async def revoke(
    tx: Transaction, *, campaign_id: str, decision_id: UUID, grounds: str, by: str
) -> None:
    """Take a decision back; its line stays in the ledger, and so does the revocation. Twice changes
    nothing.
    """
    campaign = await campaign_of(tx, campaign_id)
    lines = await store.lines_about(tx, campaign_id, decision_id)
    if not lines or lines[0].measure not in ("decision", "revoked"):
        raise Rejected("没有这项认定", status=404)
    if lines[-1].measure == "revoked":
        return
    line = Entry(
        event_id=new_id(),
        measure="revoked",
        subject_id=decision_id,
        version=lines[-1].version + 1,
        occurred_at=tx.now,
        unit_no=lines[-1].unit_no,
        detail=lines[-1].detail,
        number=lines[-1].number,
        text=grounds,
    )
    await _enter(tx, campaign, [line], shard=0)
    tx.audit("score.decision_revoked", decision_id, by, campaign=campaign_id)


async def decisions_on(tx: Transaction, campaign: store.Campaign, unit_id: str) -> list[Entry]:
    """Decisions about a unit that stand, oldest first."""
    unit_no = campaign.numbers[unit_id]
    lines = (await store.lines_of(tx, campaign.id, [unit_no]))[unit_no]
    return sorted((line for line in lines if line.measure == "decision"), key=lambda one: one.order)
