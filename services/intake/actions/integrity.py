"""疑似异常: find suspicious batches, hold their ballots, and let two people decide.

A hold is the undecided event itself: `ballot_release` passes over the ballots of such a batch. The
detectors run in a job, in the transaction of the release and before it, never in the transaction of
a ballot: a row that is written together with a ballot would lead to it.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from services.intake.actions.approval_kinds.ballot_verdict import BALLOT_VERDICT, VerdictPayload
from services.intake.domain.ballots import hour_of
from services.intake.domain.integrity import suspicions
from services.intake.domain.integrity.facts import BatchFacts, Evidence, RecentCasts, UnitRatings
from services.intake.domain.integrity.ratings import rate_units
from services.intake.domain.token_batches import TokenUse
from services.intake.settings import context_of
from services.intake.store import campaigns
from services.intake.store import integrity as store
from services.intake.store.integrity import NewIntegrityEvent, WaitingBatch
from shared.appraisal.events import BallotsHeld
from shared.appraisal.labels import Verdict
from shared.appraisal.small_cells import stepped
from shared.security.approvals import NewRequest, request_approval
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

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
            ballots=stepped(batch.ballots),
        )
    )


# ── decide ────────────────────────────────────────────────────────────────────────────────────────


async def request_verdict(
    tx: Transaction,
    event_id: UUID,
    verdict: Verdict,
    *,
    reason: str,
    by: Account,
) -> UUID:
    """Request that the ballots of an event count or are void; return the id of the request.

    Raises Rejected: 404 unknown event, 409 if it is decided or the same request waits, 422 for a
    reason that says nothing.
    """
    wanted = NewRequest(subject=str(event_id), payload=VerdictPayload(verdict), reason=reason)
    return await request_approval(tx, BALLOT_VERDICT, wanted, by=by)
