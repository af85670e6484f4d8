"""Rescoring: changed units are scored again from everything known about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from services.scoring.actions.changes import RescoreResult, Trigger, record_changes
from services.scoring.actions.publishing import publish_unit_scores
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.inputs import ScoreInputs
from services.scoring.domain.ledger import ScoreSource
from services.scoring.domain.score import UnitScore, score_unit
from services.scoring.settings import ScoringContext, context_of
from services.scoring.store import campaigns, rescores, scores
from services.scoring.store.inputs import load_inputs
from services.scoring.store.rescores import PendingRescoreRow
from services.scoring.store.scores import ScoreUpdate
from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.grouping import group_by
from shared.storage.transaction import Transaction

IMMEDIATE_UNITS_MAX: Final = 24
"""A batch that changes at most this many units scores them in its own transaction."""
BALLOT_INTERVAL_SECONDS: Final = 1.0
"""A process scores units because of ballots at most once in this time: ballots change all units."""
PENDING_TIME_SHARE: Final = 1 / 5
"""Pending rescores take at most this share of the time; the rest is for consuming events."""
UNIT_INTERVAL_SECONDS: Final = 1.0
"""A unit scored within this time waits for the job: in a stream of events about one unit, each
would otherwise score the unit again.
"""


async def schedule_rescore(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: set[int],
    trigger: Trigger,
    *,
    shard: int,
) -> None:
    """Score these units again: a few in this transaction, the others later in a job.

    Units that another transaction is scoring are left to the job.
    """
    done = await _rescore_now(tx, campaign, unit_nos, trigger)
    if remaining := unit_nos - done:
        await rescores.mark_dirty(
            tx,
            campaign.id,
            shard=shard,
            source=trigger.source,
            unit_nos=remaining,
            events=trigger.events,
        )


async def _rescore_now(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: set[int],
    trigger: Trigger,
) -> set[int]:
    """Score those of the units that may be scored in this transaction. Returns them."""
    if len(unit_nos) > IMMEDIATE_UNITS_MAX or not may_rescore_now(tx, trigger):
        return set()
    immediate = not_recently_scored(tx, campaign, unit_nos, trigger)
    if not immediate:
        return set()
    return await rescore(tx, campaign, immediate, trigger, wait=False)


def may_rescore_now(tx: Transaction, trigger: Trigger) -> bool:
    """Return whether units may be scored in this transaction.

    For ballots: not while this process scored because of ballots within the last second.
    """
    if trigger.source != ScoreSource.BALLOT:
        return True
    context = context_of(tx)
    now = monotonic_seconds()
    if now < context.next_ballot_rescore_at:
        return False
    context.next_ballot_rescore_at = now + BALLOT_INTERVAL_SECONDS
    return True


def not_recently_scored(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
    trigger: Trigger,
) -> set[int]:
    """Return the units that this process did not score within the last second.

    A decision takes effect immediately, so its units are always returned.
    """
    if trigger.source == ScoreSource.DECISION:
        return set(unit_nos)
    context = context_of(tx)
    latest = monotonic_seconds() - UNIT_INTERVAL_SECONDS
    return {no for no in unit_nos if context.last_scored(campaign.id, no) <= latest}


# ── pending rescores ──────────────────────────────────────────────────────────────────────────────


async def rescore_pending(tx: Transaction) -> bool:
    """Score the units that transactions marked dirty. Returns whether there may be more."""
    context = context_of(tx)
    started = monotonic_seconds()
    if started < context.next_pending_rescore_at:
        return False
    limit = context.settings.rescore_batch_max
    include_ballots = started >= context.next_ballot_rescore_at
    pending = await rescores.take_pending(tx, limit=limit, include_ballots=include_ballots)
    await _rescore_rows(tx, pending)
    _wait_after(context, pending, started)
    return len(pending) == limit


def _wait_after(
    context: ScoringContext,
    pending: Sequence[PendingRescoreRow],
    started: float,
) -> None:
    """Set when this process may score pending units, and because of ballots, next."""
    finished = monotonic_seconds()
    if any(row.source == ScoreSource.BALLOT for row in pending):
        context.next_ballot_rescore_at = finished + BALLOT_INTERVAL_SECONDS
    context.next_pending_rescore_at = finished + (finished - started) / PENDING_TIME_SHARE


async def _rescore_rows(tx: Transaction, pending: Sequence[PendingRescoreRow]) -> None:
    if not pending:
        return
    campaign_ids = {row.campaign_id for row in pending}
    known = await campaigns.find_campaigns(tx, campaign_ids)
    by_campaign = group_by(pending, lambda row: row.campaign_id)
    for campaign_id in sorted(by_campaign):
        await _rescore_campaign(tx, known[campaign_id], by_campaign[campaign_id])


async def _rescore_campaign(
    tx: Transaction,
    campaign: Campaign,
    rows: Sequence[PendingRescoreRow],
) -> None:
    unit_nos = {unit_no for row in rows for unit_no in row.unit_nos}
    await rescore(tx, campaign, unit_nos, _trigger(rows))


def _trigger(rows: Sequence[PendingRescoreRow]) -> Trigger:
    events = frozenset(event_id for row in rows for event_id in row.events)
    return Trigger(ScoreSource(rows[-1].source), events)


# ── scoring ───────────────────────────────────────────────────────────────────────────────────────


async def rescore(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
    trigger: Trigger,
    *,
    wait: bool = True,
) -> set[int]:
    """Score these units from the sums as they are now. Returns the units scored.

    Without `wait`, units that another transaction is scoring are skipped.
    """
    version = campaign.scheme.version
    locked = await scores.lock_scores(tx, campaign.id, version, unit_nos, wait=wait)
    if not locked:
        return set()
    _remember_scored(tx, campaign, locked)
    inputs = await load_inputs(tx, campaign, locked)
    result = RescoreResult(campaign, trigger, inputs, old=_scored(locked), new=_score(inputs))
    if result.changed:
        await _write(tx, result)
        await record_changes(tx, result)
        await publish_unit_scores(tx, campaign, result.changed)
    return set(locked)


def _remember_scored(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Iterable[int],
) -> None:
    now = monotonic_seconds()
    context_of(tx).scored_at |= {(campaign.id, unit_no): now for unit_no in unit_nos}


def _scored(locked: Mapping[int, UnitScore | None]) -> dict[int, UnitScore]:
    return {unit_no: score for unit_no, score in locked.items() if score is not None}


def _score(inputs: Mapping[int, ScoreInputs]) -> dict[int, UnitScore]:
    return {unit_no: score_unit(known, unit_no) for unit_no, known in inputs.items()}


async def _write(tx: Transaction, result: RescoreResult) -> None:
    campaign = result.campaign
    updates = [_update(result, unit_no) for unit_no in sorted(result.changed)]
    await scores.write_scores(tx, campaign.id, campaign.scheme.version, updates)
    telemetry.score_updates.labels(campaign.id).inc(len(updates))
    telemetry.score_board_updated.labels(campaign.id).set_to_current_time()


def _update(result: RescoreResult, unit_no: int) -> ScoreUpdate:
    new = result.new[unit_no]
    old = result.old.get(unit_no)
    return ScoreUpdate(score=new, publish=_published(new) != _published(old))


def _published(score: UnitScore | None) -> object:
    """Return what consumers learn of a score, None while no component counts."""
    if score is None or all(mark is None for mark in score.marks.values()):
        return None
    return score.total, score.ranked, score.marks
