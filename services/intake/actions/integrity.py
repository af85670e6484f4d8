"""疑似异常: find suspicious batches, hold their ballots, and let two people decide.

A hold is the undecided event itself: `ballot_release` passes over the ballots of such a batch. The
detectors run in a job, in the transaction of the release and before it, never in the transaction of
a ballot: a row that is written together with a ballot would lead to it.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from services.intake.actions.ballot_release import answer_count, release_together
from services.intake.domain.ballot_release import split_into_events
from services.intake.domain.ballots import hour_of
from services.intake.domain.integrity import suspicions
from services.intake.domain.integrity.facts import BatchFacts, Evidence, RecentCasts, UnitRatings
from services.intake.domain.integrity.ratings import rate_units
from services.intake.domain.token_batches import TokenUse
from services.intake.settings import context_of
from services.intake.store import ballots as ballot_store
from services.intake.store import campaigns, token_batches
from services.intake.store import integrity as store
from services.intake.store.ballots import WaitingGroup
from services.intake.store.integrity import (
    IntegrityEventRow,
    NewIntegrityEvent,
    WaitingBatch,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsHeld, BallotsHoldEnded, BallotsVoided
from shared.appraisal.labels import Verdict
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

IDS_MAX: Final = 10_000
"""Voided ballots of one event, so that it stays well below Kafka's limit of one megabyte."""
REASON_MIN: Final = 10
EXAMINED_AGAIN: Final = 1.1
"""Answers of a batch are compared again when it has grown by a tenth."""
RAISED_AGAIN: Final = 2
"""A suspicion that was decided is raised again when the batch is this many times as large."""


# ── find ──────────────────────────────────────────────────────────────────────────────────────────


async def examine_batches(tx: Transaction) -> None:
    """Raise an event for each new suspicion against a batch with waiting ballots."""
    batches = await store.waiting_batches(tx)
    if not batches:
        return
    ids = [batch.id for batch in batches]
    counters = context_of(tx).cast_counters
    recent = await counters.recent(ids, now=tx.now) if counters else {}
    known = {(one.batch_id, one.kind): one for one in await store.known_suspicions(tx, ids)}
    for batch in batches:
        facts = await _facts(tx, batch, recent.get(batch.id, RecentCasts()))
        for kind, evidence in suspicions(facts).items():
            earlier = known.get((batch.id, kind.value))
            if earlier and earlier.undecided:
                continue
            if earlier and batch.ballots < RAISED_AGAIN * earlier.decided_at_ballots:
                continue
            await _raise(tx, batch, kind.value, evidence)


async def _facts(
    tx: Transaction,
    batch: WaitingBatch,
    recent: RecentCasts,
) -> BatchFacts:
    grown = batch.ballots >= max(batch.examined + 1, EXAMINED_AGAIN * batch.examined)
    return BatchFacts(
        use=TokenUse(batch.use),
        ballots=batch.ballots,
        expected=batch.expected,
        recent=recent,
        pattern=await store.most_frequent_pattern(tx, batch) if grown else None,
        ratings=await _ratings(tx, batch, [unit for unit in recent.by_staff if unit]),
    )


async def _ratings(
    tx: Transaction,
    batch: WaitingBatch,
    unit_ids: Sequence[str],
) -> Mapping[str, UnitRatings]:
    """Return how the ballots of a batch rate the units whose staff devices cast some of them."""
    if not unit_ids:
        return {}
    campaign = await campaigns.get(tx, batch.campaign_id)
    packed = await store.answers_of_batch(tx, batch.id, batch.campaign_id)
    numbers = {unit.unit_id: no for no, unit in campaign.by_number.items()}
    wanted = {numbers[unit]: unit for unit in unit_ids if unit in numbers}
    questionnaire = campaign.questionnaire(batch.instrument)
    return rate_units(packed, wanted, campaign.scheme, questionnaire)


async def _raise(
    tx: Transaction,
    batch: WaitingBatch,
    kind: str,
    evidence: Evidence,
) -> None:
    event = NewIntegrityEvent(
        id=new_id(),
        kind=kind,
        campaign_id=batch.campaign_id,
        batch_id=batch.id,
        ballots=batch.ballots,
        evidence=msgspec.json.encode(evidence).decode(),
        raised_at=hour_of(tx.now),
    )
    await store.insert_event(tx, event)
    tx.audit("integrity.raised", event.id, "system", campaign=batch.campaign_id, kind=kind)
    row = await store.find_event(tx, event.id)
    assert row is not None, "the event was inserted in this transaction"
    tx.publish(
        BallotsHeld(
            occurred_at=event.raised_at,
            integrity_event_id=event.id,
            campaign_id=row.campaign_id,
            instrument=row.instrument,
            group=row.group,
            kind=kind,
            ballots=batch.ballots // 10 * 10,
        )
    )


# ── decide ────────────────────────────────────────────────────────────────────────────────────────


async def propose_verdict(
    tx: Transaction,
    event_id: UUID,
    verdict: Verdict,
    *,
    reason: str,
    by: Account,
) -> None:
    """Propose what becomes of the ballots; another person decides.

    Raises Rejected: 404 unknown event, 409 if it was decided or proposed, 422 without a reason.
    """
    event = await _lock_open(tx, event_id)
    if event.proposed_by is not None:
        raise Rejected("已有人提出处理意见，请等另一人复核")
    if len(reason.strip()) < REASON_MIN:
        raise Rejected(f"请写明理由，至少 {REASON_MIN} 个字", status=422, field="reason")
    await store.propose(tx, event_id, verdict, reason=reason.strip(), by=by.id)
    tx.audit("integrity.proposed", event_id, str(by.id), verdict=verdict.value)


async def reject_proposal(
    tx: Transaction,
    event_id: UUID,
    *,
    by: Account,
) -> None:
    """Reject the proposal of another person, or withdraw one's own; the ballots stay held.

    Raises Rejected: 404 unknown event, 409 if nothing is proposed.
    """
    event = await _lock_open(tx, event_id)
    if event.proposed_by is None:
        raise Rejected("还没有人提出处理意见")
    await store.withdraw_proposal(tx, event_id)
    tx.audit("integrity.rejected", event_id, str(by.id), verdict=event.verdict)


async def confirm_verdict(
    tx: Transaction,
    event_id: UUID,
    *,
    by: Account,
) -> None:
    """Decide as another person proposed: count the ballots of the batch, or void all of them.

    Raises Rejected: 404 unknown event, 403 for the person who proposed it, 409 if it was decided or
    nothing is proposed.
    """
    event = await _lock_open(tx, event_id)
    if event.proposed_by is None or event.verdict is None:
        raise Rejected("还没有人提出处理意见")
    if event.proposed_by == by.id:
        raise Rejected("提出意见的人不能自己复核，请由另一人决定", status=403)
    if event.verdict is Verdict.VOID:
        await _void(tx, event, by)
    await _end_hold(tx, event, event, by)


async def _lock_open(tx: Transaction, event_id: UUID) -> IntegrityEventRow:
    event = await store.lock_event(tx, event_id)
    if event is None:
        raise Rejected("没有这条疑似异常记录", status=404)
    if not event.is_open:
        raise Rejected("这条疑似异常已经处理")
    return event


async def _void(
    tx: Transaction,
    event: IntegrityEventRow,
    by: Account,
) -> None:
    """Void all ballots of a batch, close its codes, and decide its other events alike.

    Waiting ballots are released to be stored like the others: each stays, with its reversal.
    """
    group = WaitingGroup(event.campaign_id, event.instrument, event.group, closed=True)
    waiting = await ballot_store.lock_waiting_of_batch(tx, event.batch_id)
    for chosen in split_into_events(waiting, answers=answer_count):
        await release_together(tx, group, chosen)
    voided = await store.void_ballots(
        tx, event.batch_id, campaign_id=event.campaign_id, event_id=event.id
    )
    for start in range(0, len(voided), IDS_MAX):
        tx.publish(_voided(tx, event, voided[start : start + IDS_MAX], by))
    await token_batches.close(tx, event.batch_id, before=tx.now.astimezone(CHINA).date())
    for other in await store.lock_open_events_of_batch(tx, event.batch_id):
        if other.id != event.id:
            await store.propose(
                tx, other.id, Verdict.VOID, reason=event.reason, by=_proposer(event)
            )
            await _end_hold(tx, other, event, by)


def _voided(
    tx: Transaction,
    event: IntegrityEventRow,
    ballot_ids: Sequence[UUID],
    by: Account,
) -> BallotsVoided:
    return BallotsVoided(
        occurred_at=tx.now,
        integrity_event_id=event.id,
        campaign_id=event.campaign_id,
        instrument=event.instrument,
        group=event.group,
        kind=event.kind.value,
        reason=event.reason,
        proposed_by=_proposer(event),
        decided_by=by.id,
        ballot_ids=tuple(ballot_ids),
    )


async def _end_hold(
    tx: Transaction,
    event: IntegrityEventRow,
    decided: IntegrityEventRow,
    by: Account,
) -> None:
    """End the hold of `event` as was decided about `decided`, the same or one of the same batch."""
    assert decided.verdict is not None, "only a proposed verdict is decided"
    ballots = await store.count_ballots(tx, event.batch_id)
    await store.decide(tx, event.id, ballots=ballots, by=by.id)
    tx.audit("integrity.decided", event.id, str(by.id), verdict=decided.verdict.value)
    tx.publish(
        BallotsHoldEnded(
            occurred_at=tx.now,
            integrity_event_id=event.id,
            campaign_id=event.campaign_id,
            verdict=decided.verdict.value,
            reason=decided.reason,
            proposed_by=_proposer(decided),
            decided_by=by.id,
        )
    )


def _proposer(event: IntegrityEventRow) -> UUID:
    assert event.proposed_by is not None, "only a proposed verdict is decided"
    return event.proposed_by
