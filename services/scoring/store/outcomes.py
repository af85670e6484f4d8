"""Final results of earlier years."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.scoring.domain.rank import EarlierResult, EarlierResults
from shared.storage.transaction import Transaction

_OUTCOMES = """
select year, unit_id, from_bottom, grade from outcomes
where scheme_id = $1 and year < $2 and year >= $3
"""
_UPSERT = """
insert into outcomes (scheme_id, year, unit_id, category, total, rank, from_bottom, grade,
  recorded_at)
select $1, $2, n.*, $9
from unnest($3::text[], $4::text[], $5::numeric[], $6::int[], $7::int[], $8::text[]) as n
on conflict (scheme_id, year, unit_id) do update
set category = excluded.category, total = excluded.total, rank = excluded.rank,
  from_bottom = excluded.from_bottom, grade = excluded.grade, recorded_at = excluded.recorded_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """A unit's final result in one year."""

    unit_id: str
    category: str
    total: Decimal | None
    rank: int | None
    from_bottom: int | None
    grade: str | None


async def earlier_results(
    tx: Transaction,
    scheme_id: str,
    *,
    before: int,
    years: int,
) -> EarlierResults:
    """Return the results of the years just before."""
    results: dict[int, dict[str, EarlierResult]] = {}
    for year, unit_id, from_bottom, grade in await tx.fetch(
        _OUTCOMES, scheme_id, before, before - years
    ):
        results.setdefault(year, {})[unit_id] = EarlierResult(from_bottom, grade)
    return results


async def upsert_outcomes(
    tx: Transaction,
    scheme_id: str,
    year: int,
    rows: Sequence[OutcomeRow],
) -> None:
    """Insert results; a result recorded before is replaced."""
    await tx.run(
        _UPSERT,
        scheme_id,
        year,
        [row.unit_id for row in rows],
        [row.category for row in rows],
        [row.total for row in rows],
        [row.rank for row in rows],
        [row.from_bottom for row in rows],
        [row.grade for row in rows],
        tx.now,
    )
