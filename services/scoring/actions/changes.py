"""The result of a rescore, and the record of the totals it changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from uuid import UUID

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.inputs import ScoreInputs
from services.scoring.domain.ledger import LedgerEntry, ScoreSource
from services.scoring.domain.rank import rank_units, ranking_entry
from services.scoring.domain.score import UnitScore
from services.scoring.store import changes, scores
from services.scoring.store.changes import NewScoreChange
from shared.appraisal.calendar.working_days import civil_day
from shared.foundation.grouping import group_by
from shared.storage.transaction import Transaction

Scores = Mapping[int, UnitScore]
"""Unit → score."""
Ranks = Mapping[int, int | None]
"""Unit → rank."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What caused a rescore: its source, and the ledger events behind it."""

    source: ScoreSource
    events: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class RescoreResult:
    """Units scored again. `old`: scores before, without units never scored."""

    campaign: Campaign
    trigger: Trigger
    inputs: Mapping[int, ScoreInputs]
    old: Scores = field(kw_only=True)
    new: Scores = field(kw_only=True)

    @cached_property
    def changed(self) -> dict[int, UnitScore]:
        """Unit → new score, where it differs."""
        return {no: score for no, score in self.new.items() if score != self.old.get(no)}

    @property
    def changed_totals(self) -> dict[int, UnitScore]:
        """Unit → new score, where the total differs."""
        return {no: score for no, score in self.changed.items() if self._total_differs(score)}

    def _total_differs(self, score: UnitScore) -> bool:
        old = self.old.get(score.unit_no)
        return score.total != (old.total if old else None)

    def triggering_entries(self, unit_no: int) -> list[LedgerEntry]:
        """Return the unit's entries of the events behind this rescore."""
        entries = self.inputs[unit_no].entries
        return [entry for entry in entries if entry.event_id in self.trigger.events]


@dataclass(frozen=True, slots=True)
class _RankChange:
    """The ranks of all units concerned, before and after a rescore."""

    before: Ranks
    after: Ranks


async def record_changes(tx: Transaction, result: RescoreResult) -> None:
    """Record every changed total, with the unit's rank before and after."""
    totals = result.changed_totals
    if not totals:
        return
    campaign = result.campaign
    now = await _category_scores(tx, campaign, totals)
    before = now | {no: result.old[no] for no in totals if no in result.old}
    ranks = _RankChange(_ranks(campaign, before), _ranks(campaign, now))
    recorded = [_change(result, no, ranks) for no in sorted(totals)]
    await changes.insert_changes(tx, campaign.id, campaign.scheme.version, _today(tx), recorded)


def _today(tx: Transaction) -> date:
    return civil_day(tx.now)


async def _category_scores(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Iterable[int],
) -> dict[int, UnitScore]:
    """Return the scores of all units in the categories of these units."""
    categories = {campaign.by_no[unit_no].category for unit_no in unit_nos}
    members = [unit.unit_no for unit in campaign.units if unit.category in categories]
    return await scores.running_scores(tx, campaign.id, campaign.scheme.version, members)


def _ranks(campaign: Campaign, scored: Scores) -> Ranks:
    entries = (ranking_entry(campaign.by_no[no], score) for no, score in scored.items())
    by_category = group_by(entries, lambda entry: entry.category)
    ranked = (unit for members in by_category.values() for unit in rank_units(members))
    return {unit.entry.unit_no: unit.rank for unit in ranked}


def _change(
    result: RescoreResult,
    unit_no: int,
    ranks: _RankChange,
) -> NewScoreChange:
    old = result.old.get(unit_no)
    score = result.new[unit_no]
    entries = result.triggering_entries(unit_no)
    ballots = score.sample - (old.sample if old else 0)
    return NewScoreChange(
        unit_no=unit_no,
        source=_source(entries, ballots, result.trigger),
        ballots=ballots,
        events=_distinct_events(entries),
        before=old.total if old else None,
        after=score.total,
        rank_before=ranks.before.get(unit_no) if old else None,
        rank_after=ranks.after.get(unit_no),
    )


def _distinct_events(entries: Sequence[LedgerEntry]) -> list[UUID]:
    return list(dict.fromkeys(entry.event_id for entry in entries))


def _source(
    entries: Sequence[LedgerEntry],
    ballots: int,
    trigger: Trigger,
) -> ScoreSource:
    """Return the source of the latest ledger entry; without one, ballots or the trigger's."""
    if entries:
        return entries[-1].source
    return ScoreSource.BALLOT if ballots else trigger.source
