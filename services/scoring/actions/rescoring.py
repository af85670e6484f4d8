"""Rescoring: changed units are scored again from everything known about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final
from uuid import UUID

from services.scoring.actions.publishing import publish_unit_scores
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.inputs import ScoreInputs
from services.scoring.domain.ledger import LedgerEntry, ScoreSource
from services.scoring.domain.rank import RankingEntry, rank_units, ranking_entry
from services.scoring.domain.score import UnitScore, score_unit
from services.scoring.settings import context_of
from services.scoring.store import changes, rescores, scores
from services.scoring.store.changes import NewScoreChange
from services.scoring.store.inputs import load_inputs
from services.scoring.store.rescores import PendingRescoreRow
from services.scoring.store.scores import ScoreUpdate
from shared.foundation import telemetry
from shared.foundation.clock import CHINA, monotonic_seconds
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
Scores = Mapping[int, UnitScore]
"""Unit → score."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What caused a rescore: its source, and the ledger events behind it."""

    source: ScoreSource
    events: frozenset[UUID] = frozenset()


async def schedule_rescore(
    tx: Transaction, campaign: Campaign, unit_nos: set[int], trigger: Trigger, *, shard: int
) -> None:
    """Score these units again: a few in this transaction, the others later in a job.

    Units that another transaction is scoring are left to the job.
    """
    immediate: set[int] = set()
    if len(unit_nos) <= IMMEDIATE_UNITS_MAX and may_rescore_now(tx, trigger):
        immediate = not_recently_scored(tx, campaign, unit_nos, trigger)
    done: set[int] = set()
    if immediate:
        done = await rescore(tx, campaign, immediate, trigger, wait=False)
    if remaining := unit_nos - done:
        await rescores.mark_dirty(
            tx,
            campaign.id,
            shard=shard,
            source=trigger.source,
            unit_nos=remaining,
            events=trigger.events,
        )


def may_rescore_now(tx: Transaction, trigger: Trigger) -> bool:
    """Return whether units may be scored in this transaction.

    For ballots: not while this process scored because of ballots within the last second.
    """
    if trigger.source != ScoreSource.BALLOT:
        return True
    context, now = context_of(tx), monotonic_seconds()
    if now < context.next_ballot_rescore_at:
        return False
    context.next_ballot_rescore_at = now + BALLOT_INTERVAL_SECONDS
    return True


def not_recently_scored(
    tx: Transaction, campaign: Campaign, unit_nos: Collection[int], trigger: Trigger
) -> set[int]:
    """Return the units that this process did not score within the last second.

    A decision takes effect immediately, so its units are always returned.
    """
    if trigger.source == ScoreSource.DECISION:
        return set(unit_nos)
    scored_at = context_of(tx).scored_at
    latest = monotonic_seconds() - UNIT_INTERVAL_SECONDS
    never = float("-inf")
    return {no for no in unit_nos if scored_at.get((campaign.id, no), never) <= latest}


# ── pending rescores ──────────────────────────────────────────────────────────────────────────────


async def rescore_pending(tx: Transaction) -> bool:
    """Score the units that transactions marked dirty. Returns whether there may be more."""
    context, started = context_of(tx), monotonic_seconds()
    if started < context.next_pending_rescore_at:
        return False
    limit = context.settings.rescore_batch_max
    include_ballots = started >= context.next_ballot_rescore_at
    pending = await rescores.take_pending(tx, limit=limit, include_ballots=include_ballots)
    await _rescore_rows(tx, pending)
    finished = monotonic_seconds()
    if any(row.source == ScoreSource.BALLOT for row in pending):
        context.next_ballot_rescore_at = finished + BALLOT_INTERVAL_SECONDS
    context.next_pending_rescore_at = finished + (finished - started) / PENDING_TIME_SHARE
    return len(pending) == limit


async def _rescore_rows(tx: Transaction, pending: Sequence[PendingRescoreRow]) -> None:
    if not pending:
        return
    campaign_ids = {row.campaign_id for row in pending}
    campaigns = await context_of(tx).campaigns.get_many(tx, campaign_ids)
    ordered = sorted(pending, key=_campaign_id)
    for campaign_id, group in groupby(ordered, key=_campaign_id):
        rows = list(group)
        unit_nos = {unit_no for row in rows for unit_no in row.unit_nos}
        await rescore(tx, campaigns[campaign_id], unit_nos, _trigger(rows))


def _campaign_id(row: PendingRescoreRow) -> str:
    return row.campaign_id


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
    old = {unit_no: score for unit_no, score in locked.items() if score is not None}
    new = {unit_no: score_unit(known, unit_no) for unit_no, known in inputs.items()}
    changed = {unit_no: score for unit_no, score in new.items() if score != old.get(unit_no)}
    if changed:
        await _write(tx, campaign, changed, old)
        entries = {unit_no: _triggering(inputs[unit_no], trigger) for unit_no in changed}
        await _record_changes(tx, campaign, changed, old, entries, trigger)
        await publish_unit_scores(tx, campaign, changed)
    return set(locked)


def _remember_scored(tx: Transaction, campaign: Campaign, unit_nos: Iterable[int]) -> None:
    now = monotonic_seconds()
    context_of(tx).scored_at |= {(campaign.id, unit_no): now for unit_no in unit_nos}


def _triggering(inputs: ScoreInputs, trigger: Trigger) -> list[LedgerEntry]:
    return [entry for entry in inputs.entries if entry.event_id in trigger.events]


async def _write(tx: Transaction, campaign: Campaign, changed: Scores, old: Scores) -> None:
    updates = [
        ScoreUpdate(score=score, publish=_published(score) != _published(old.get(unit_no)))
        for unit_no, score in sorted(changed.items())
    ]
    await scores.write_scores(tx, campaign.id, campaign.scheme.version, updates)
    telemetry.score_updates.labels(campaign.id).inc(len(changed))
    telemetry.score_board_updated.labels(campaign.id).set_to_current_time()


def _published(score: UnitScore | None) -> object:
    """Return what consumers learn of a score, None while no component counts."""
    if score is None or all(mark is None for mark in score.marks.values()):
        return None
    return score.total, score.ranked, score.marks


# ── changes ───────────────────────────────────────────────────────────────────────────────────────


async def _record_changes(
    tx: Transaction,
    campaign: Campaign,
    changed: Scores,
    old: Scores,
    entries: Mapping[int, Sequence[LedgerEntry]],
    trigger: Trigger,
) -> None:
    """Record every changed total, with the unit's rank before and after."""
    totals = {no: score for no, score in changed.items() if score.total != _total(old.get(no))}
    if not totals:
        return
    now = await _category_scores(tx, campaign, totals)
    before = now | {no: old[no] for no in totals if no in old}
    ranks_before = _ranks(campaign, before)
    ranks_after = _ranks(campaign, now)
    recorded = [
        _change(
            old.get(no),
            score,
            entries[no],
            trigger,
            rank_before=ranks_before.get(no),
            rank_after=ranks_after.get(no),
        )
        for no, score in sorted(totals.items())
    ]
    version = campaign.scheme.version
    await changes.insert_changes(tx, campaign.id, version, _today(tx), recorded)


def _total(score: UnitScore | None) -> object:
    return score.total if score else None


def _today(tx: Transaction) -> date:
    return tx.now.astimezone(CHINA).date()


async def _category_scores(
    tx: Transaction, campaign: Campaign, unit_nos: Iterable[int]
) -> dict[int, UnitScore]:
    """Return the scores of all units in the categories of these units."""
    categories = {campaign.by_no[unit_no].category for unit_no in unit_nos}
    members = [unit.unit_no for unit in campaign.units if unit.category in categories]
    return await scores.running_scores(tx, campaign.id, campaign.scheme.version, members)


def _change(
    old: UnitScore | None,
    score: UnitScore,
    entries: Sequence[LedgerEntry],
    trigger: Trigger,
    *,
    rank_before: int | None,
    rank_after: int | None,
) -> NewScoreChange:
    ballots = score.sample - (old.sample if old else 0)
    return NewScoreChange(
        unit_no=score.unit_no,
        source=_source(entries, ballots, trigger),
        ballots=ballots,
        events=list(dict.fromkeys(entry.event_id for entry in entries)),
        before=old.total if old else None,
        after=score.total,
        rank_before=rank_before if old else None,
        rank_after=rank_after,
    )


def _source(entries: Sequence[LedgerEntry], ballots: int, trigger: Trigger) -> ScoreSource:
    """Return the source of the latest ledger entry; without one, ballots or the trigger's."""
    if entries:
        return entries[-1].source
    return ScoreSource.BALLOT if ballots else trigger.source


def _ranks(campaign: Campaign, scored: Scores) -> dict[int, int | None]:
    by_category: dict[str, list[RankingEntry]] = {}
    for unit_no, score in scored.items():
        entry = ranking_entry(campaign.by_no[unit_no], score)
        by_category.setdefault(entry.category, []).append(entry)
    ranked = (unit for entries in by_category.values() for unit in rank_units(entries))
    return {unit.entry.unit_no: unit.rank for unit in ranked}
