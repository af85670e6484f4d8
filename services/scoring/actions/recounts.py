"""重放核对: the independent program recounts everything stored, and the results are compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.score import UnitScore
from services.scoring.store import campaigns, recounts
from services.scoring.store.recounts import (
    StoredBallot,
    StoredItem,
    StoredLedgerRow,
    StoredScore,
)
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction, new_id
from shared.verifier.recount import Recounter, UnitResult, digest

NIGHT_HOURS: Final = range(2, 5)
"""Hours in China in which a recount slows nobody down."""
NIGHTLY: Final = timedelta(hours=20)
AT_THE_LATEST: Final = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """A unit whose running score contradicts its recount."""

    unit_id: str
    name: str
    running: UnitResult | None
    recounted: UnitResult

    @property
    def sentence(self) -> str:
        """Both scores in a sentence, for a terminal."""
        return f"{self.unit_id}: {self.running} instead of {self.recounted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecountResult:
    """The result of a recount. `waiting`: units not compared, because they are not yet rescored."""

    id: UUID
    scheme_version: str
    ballots: int
    lines: int
    units: int
    digest: str
    differences: list[ScoreDifference]
    waiting: int


@dataclass(slots=True)
class _Snapshot:
    """What a recount read: everything for the independent program, and the running scores."""

    campaign: Campaign
    recounter: Recounter
    scores: dict[int, UnitScore] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)

    def add(self, item: StoredItem) -> None:
        """Keep one stored item."""
        if isinstance(item, StoredBallot):
            self._add_ballot(item)
        elif isinstance(item, StoredLedgerRow):
            self.recounter.add_row(item.columns)
        elif isinstance(item, StoredScore):
            self.scores[item.unit_no] = item.score
        else:
            self.waiting.update(item.unit_nos)

    def _add_ballot(self, ballot: StoredBallot) -> None:
        instrument, group = self.campaign.response_groups[ballot.response_group_id]
        self.recounter.add_ballot(instrument, group, ballot.answers)

    def running(self, unit_no: int) -> UnitResult | None:
        """Return the running score in the form of a recount, None when it was never computed."""
        score = self.scores.get(unit_no)
        return _as_result(score) if score else None


async def recount(
    tx: Transaction,
    campaign_id: str,
    *,
    by: str,
) -> RecountResult:
    """Recount a campaign from its ballots and ledger, as of one instant, and store the result."""
    campaign = await campaigns.get_campaign(tx, campaign_id)
    result = await _compare(tx, campaign)
    recounts.insert_recount(
        tx,
        id=result.id,
        campaign_id=campaign_id,
        by=by,
        scheme_version=result.scheme_version,
        ballots=result.ballots,
        lines=result.lines,
        units=result.units,
        digest=result.digest,
        differences=msgspec.to_builtins(result.differences),
    )
    differences = len(result.differences)
    tx.audit("score.recounted", campaign_id, by, digest=result.digest, differences=differences)
    return result


async def recount_overdue(tx: Transaction) -> bool:
    """Recount a campaign that was not recounted today. Returns whether there may be another.

    By day only a campaign that was not recounted for two days. Every process exports what the
    newest recount of each campaign found.
    """
    overdue = await recounts.overdue_recount(tx, before=tx.now - _longest_wait(tx.now))
    if overdue is not None:
        await recount(tx, overdue, by="system")
    await _export_differences(tx)
    return overdue is not None


def _longest_wait(now: datetime) -> timedelta:
    """Return after how long a campaign is recounted at this hour."""
    night = now.astimezone(CHINA).hour in NIGHT_HOURS
    return NIGHTLY if night else AT_THE_LATEST


async def _export_differences(tx: Transaction) -> None:
    for campaign_id, units in (await recounts.differences_by_campaign(tx)).items():
        telemetry.score_mismatch.labels(campaign_id).set(units)


async def _compare(tx: Transaction, campaign: Campaign) -> RecountResult:
    snapshot = await _read_snapshot(tx, campaign)
    results = snapshot.recounter.results()
    return RecountResult(
        id=new_id(),
        scheme_version=campaign.scheme.version,
        ballots=snapshot.recounter.ballots,
        lines=snapshot.recounter.rows,
        units=len(results),
        digest=digest(results),
        differences=list(_differences(snapshot, results)),
        waiting=len(snapshot.waiting),
    )


async def _read_snapshot(tx: Transaction, campaign: Campaign) -> _Snapshot:
    snapshot = _Snapshot(campaign, Recounter(campaign.scheme.to_json(), campaign.by_no))
    async for item in recounts.read_snapshot(tx, campaign.id, campaign.scheme.version):
        snapshot.add(item)
    return snapshot


def _differences(snapshot: _Snapshot, results: dict[int, UnitResult]) -> Iterator[ScoreDifference]:
    for unit_no, recounted in results.items():
        running = snapshot.running(unit_no)
        if unit_no not in snapshot.waiting and not _agree(running, recounted):
            yield _difference(snapshot.campaign.by_no[unit_no], running, recounted)


def _difference(
    unit: CampaignUnit,
    running: UnitResult | None,
    recounted: UnitResult,
) -> ScoreDifference:
    return ScoreDifference(
        unit_id=unit.unit_id,
        name=unit.name,
        running=running,
        recounted=recounted,
    )


def _agree(running: UnitResult | None, recounted: UnitResult) -> bool:
    if running is None:
        return recounted["total"] is None
    return running == recounted


def _as_result(score: UnitScore) -> UnitResult:
    """Return a running score in the form of a recount."""
    marks = {key: _text(mark) for key, mark in score.marks.items()}
    return {
        "total": _text(score.total),
        "ranked": score.ranked,
        "sample": score.sample,
        "marks": marks,
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)
