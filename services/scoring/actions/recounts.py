"""重放核对: the independent program recounts everything stored, and the results are compared."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.recount import Recounter, UnitResult, digest
from services.scoring.domain.score import UnitScore
from services.scoring.settings import context_of
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
        if isinstance(item, StoredBallot):
            instrument, group = self.campaign.response_groups[item.response_group_id]
            self.recounter.add_ballot(instrument, group, item.answers)
        elif isinstance(item, StoredLedgerRow):
            self.recounter.add_row(item.columns)
        elif isinstance(item, StoredScore):
            self.scores[item.unit_no] = item.score
        else:
            self.waiting.update(item.unit_nos)


async def recount(tx: Transaction, campaign_id: str, *, by: str) -> RecountResult:
    """Recount a campaign from its ballots and ledger, as of one instant, and store the result."""
    campaign = await context_of(tx).campaigns.get(tx, campaign_id)
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
    night = tx.now.astimezone(CHINA).hour in NIGHT_HOURS
    before = tx.now - (NIGHTLY if night else AT_THE_LATEST)
    overdue = await recounts.overdue_recount(tx, before=before)
    if overdue is not None:
        await recount(tx, overdue, by="system")
    for campaign_id, units in (await recounts.differences_by_campaign(tx)).items():
        telemetry.score_mismatch.labels(campaign_id).set(units)
    return overdue is not None


async def verify_scores(tx: Transaction) -> list[str]:
    """Recount every campaign and return a sentence for each score that its recount contradicts."""
    sentences: list[str] = []
    for campaign in await campaigns.list_campaigns(tx):
        result = await recount(tx, campaign.id, by="verify")
        sentences += [
            f"{campaign.id} {one.unit_id}: {one.running} instead of {one.recounted}"
            for one in result.differences
        ]
    return sentences


async def _compare(tx: Transaction, campaign: Campaign) -> RecountResult:
    version = campaign.scheme.version
    snapshot = _Snapshot(campaign, Recounter(campaign.scheme.to_json(), campaign.by_no))
    async for item in recounts.read_snapshot(tx, campaign.id, version):
        snapshot.add(item)
    results = snapshot.recounter.results()
    return RecountResult(
        id=new_id(),
        scheme_version=version,
        ballots=snapshot.recounter.ballots,
        lines=snapshot.recounter.rows,
        units=len(results),
        digest=digest(results),
        differences=_differences(snapshot, results),
        waiting=len(snapshot.waiting),
    )


def _differences(snapshot: _Snapshot, results: dict[int, UnitResult]) -> list[ScoreDifference]:
    differences: list[ScoreDifference] = []
    for unit_no, recounted in results.items():
        score = snapshot.scores.get(unit_no)
        running = _as_result(score) if score else None
        if unit_no not in snapshot.waiting and not _agree(running, recounted):
            unit = snapshot.campaign.by_no[unit_no]
            differences.append(
                ScoreDifference(
                    unit_id=unit.unit_id, name=unit.name, running=running, recounted=recounted
                )
            )
    return differences


def _agree(running: UnitResult | None, recounted: UnitResult) -> bool:
    if running is None:
        return recounted["total"] is None
    return running == recounted


def _as_result(score: UnitScore) -> UnitResult:
    """Return a running score in the form of a recount."""
    marks = {key: None if mark is None else str(mark) for key, mark in score.marks.items()}
    return {
        "total": None if score.total is None else str(score.total),
        "ranked": score.ranked,
        "sample": score.sample,
        "marks": marks,
    }
