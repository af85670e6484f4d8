"""The newest recount of a campaign."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.scoring.store import recounts
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceView:
    """A unit whose running total differs from its recount."""

    unit_id: str
    name: str
    running: dict[str, Any] | None
    recounted: dict[str, Any]

    @property
    def running_total(self) -> str:
        return (self.running or {}).get("total") or "—"

    @property
    def recounted_total(self) -> str:
        return self.recounted.get("total") or "—"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecountView:
    """A recount as the page shows it."""

    counted_at: datetime
    scheme_version: str
    ballots: int
    lines: int
    units: int
    digest: str
    differences: list[DifferenceView]


async def newest_recount(tx: Transaction, campaign_id: str) -> RecountView | None:
    """Return the newest recount of a campaign, None when there is none."""
    row = await recounts.newest_recount(tx, campaign_id)
    if row is None:
        return None
    return RecountView(
        counted_at=row.counted_at,
        scheme_version=row.scheme_version,
        ballots=row.ballots,
        lines=row.lines,
        units=row.units,
        digest=row.digest,
        differences=msgspec.convert(row.differences, list[DifferenceView]),
    )
