"""Score changes as a person reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.ledger import ScoreSource
from services.scoring.domain.wording import describe_entry
from services.scoring.settings import context_of
from services.scoring.store import changes
from services.scoring.store.changes import ChangeFilter, ScoreChangeRow
from shared.storage.transaction import Transaction

EVENTS_NAMED: Final = 3
SILENT: Final = ("case_opened", "case_assigned", "visit")
"""Measures left out of a summary when the same change has others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChangeView:
    """A change of a unit's total. `delta` None: there was no total before."""

    unit_id: str
    name: str
    changed_at: datetime
    source: ScoreSource
    ballots: int
    what: str
    before: Decimal | None
    after: Decimal | None
    delta: Decimal | None
    rank_before: int | None
    rank_after: int | None
    scheme_version: str
    event_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class ChangePage:
    """One page of changes, newest first. `total`: changes on all pages."""

    changes: Sequence[ScoreChangeView]
    total: int
    rows_per_page: int

    @property
    def last_page(self) -> int:
        """The number of the last page, at least 1."""
        return max(1, -(-self.total // self.rows_per_page))


async def list_changes(
    tx: Transaction,
    campaign: Campaign,
    *,
    unit_id: str = "",
    source: str = "",
    since: date | None = None,
    page: int = 1,
    rows: int = 0,
) -> ChangePage:
    """Return changes of one unit, or of all. Raises Rejected (404) for an unknown unit."""
    unit_no = campaign.unit(unit_id).unit_no if unit_id else None
    limit = rows or context_of(tx).settings.page_rows
    wanted = ChangeFilter(unit_no=unit_no, source=source, since=since)
    offset = (page - 1) * limit
    found = await changes.list_changes(tx, campaign.id, wanted, limit=limit, offset=offset)
    total = await changes.count_changes(tx, campaign.id, wanted)
    return ChangePage([_view(campaign, row) for row in found], total, limit)


def _view(campaign: Campaign, row: ScoreChangeRow) -> ScoreChangeView:
    unit = campaign.by_no[row.unit_no]
    return ScoreChangeView(
        unit_id=unit.unit_id,
        name=unit.name,
        changed_at=row.changed_at,
        source=ScoreSource(row.source),
        ballots=row.ballots,
        what=_summary(campaign, row),
        before=row.before,
        after=row.after,
        delta=_delta(row.before, row.after),
        rank_before=row.rank_before,
        rank_after=row.rank_after,
        scheme_version=row.scheme_version,
        event_ids=row.events,
    )


def _delta(before: Decimal | None, after: Decimal | None) -> Decimal | None:
    return None if before is None or after is None else after - before


def _summary(campaign: Campaign, row: ScoreChangeRow) -> str:
    """Describe the events behind a change, each once; of many only the first few."""
    sentences = _shortened(_sentences(campaign, row))
    if row.ballots:
        period = "当日" if row.source == ScoreSource.BALLOT else ""
        sentences.append(f"{period}有效评价 {row.ballots:+d} 份")
    default = "按新规则重新计分" if row.source == ScoreSource.RULES else "数据更正"
    return "；".join(sentences) or default


def _sentences(campaign: Campaign, row: ScoreChangeRow) -> list[str]:
    telling = [entry for entry in row.entries if entry[0] not in SILENT] or row.entries
    return list(dict.fromkeys(describe_entry(campaign.scheme, *entry) for entry in telling))


def _shortened(sentences: list[str]) -> list[str]:
    if len(sentences) <= EVENTS_NAMED:
        return sentences
    return [*sentences[:EVENTS_NAMED], f"等 {len(sentences)} 项"]
