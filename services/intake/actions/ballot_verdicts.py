"""Carry out what two people decided about suspicious ballots: they count, or they are void."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.intake.actions.ballot_release import answer_count, release_together
from services.intake.domain.ballot_release import split_into_events
from services.intake.store import ballots as ballot_store
from services.intake.store import integrity as store
from services.intake.store import token_batches
from services.intake.store.ballots import WaitingGroup
from services.intake.store.integrity import IntegrityEventRow
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsHoldEnded, BallotsVoided
from shared.appraisal.labels import Verdict
from shared.security.policies import Account
from shared.storage.transaction import Transaction

IDS_MAX: Final = 10_000
"""Voided ballots of one event, so that it stays well below Kafka's limit of one megabyte."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """A verdict, why, who proposed it and who decided."""

    verdict: Verdict
    reason: str
    proposed_by: UUID
    decided_by: UUID


async def lock_undecided(tx: Transaction, event_id: UUID) -> IntegrityEventRow:
    """Lock and return an undecided event. Raises Rejected: 404 unknown, 409 decided."""
    event = await store.lock_event(tx, event_id)
    if event is None:
        raise Rejected("没有这条疑似异常记录", status=404)
    if not event.is_open:
        raise Rejected("这条疑似异常已经处理")
    return event


async def carry_out(
    tx: Transaction,
    event_id: UUID,
    verdict: Verdict,
    *,
    reason: str,
    proposed_by: UUID,
    by: Account,
) -> None:
    """End the hold of an event as one person proposed and another, `by`, decided.

    A void batch decides its other events alike. Raises Rejected: 404 unknown event, 409 decided.
    """
    event = await lock_undecided(tx, event_id)
    decision = _Decision(verdict, reason, proposed_by, by.id)
    if verdict is Verdict.VOID:
        await _void(tx, event, decision)
        for other in await store.lock_open_events_of_batch(tx, event.batch_id):
            await _end_hold(tx, other, decision)
    else:
        await _end_hold(tx, event, decision)


async def _void(
    tx: Transaction,
    event: IntegrityEventRow,
    decision: _Decision,
) -> None:
    """Void all ballots of a batch and close its codes.

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
        tx.publish(_voided(tx, event, decision, voided[start : start + IDS_MAX]))
    await token_batches.close(tx, event.batch_id, before=civil_day(tx.now))


def _voided(
    tx: Transaction,
    event: IntegrityEventRow,
    decision: _Decision,
    ballot_ids: Sequence[UUID],
) -> BallotsVoided:
    return BallotsVoided(
        occurred_at=tx.now,
        integrity_event_id=event.id,
        campaign_id=event.campaign_id,
        instrument=event.instrument,
        group=event.group,
        kind=event.kind.value,
        reason=decision.reason,
        proposed_by=decision.proposed_by,
        decided_by=decision.decided_by,
        ballot_ids=tuple(ballot_ids),
    )


async def _end_hold(
    tx: Transaction,
    event: IntegrityEventRow,
    decision: _Decision,
) -> None:
    await store.decide(
        tx,
        event.id,
        decision.verdict,
        reason=decision.reason,
        proposed_by=decision.proposed_by,
        decided_by=decision.decided_by,
        ballots=await store.count_ballots(tx, event.batch_id),
    )
    verdict = decision.verdict.value
    tx.audit("integrity.decided", event.id, str(decision.decided_by), verdict=verdict)
    tx.publish(
        BallotsHoldEnded(
            occurred_at=tx.now,
            integrity_event_id=event.id,
            campaign_id=event.campaign_id,
            verdict=verdict,
            reason=decision.reason,
            proposed_by=decision.proposed_by,
            decided_by=decision.decided_by,
        )
    )
