"""Final results of earlier years."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg

from services.scoring.domain.rank import EarlierResult, EarlierResults
from shared.storage.transaction import Transaction

_CURRENT = """
select distinct on (year, unit_id) year, unit_id, category, total, rank, from_bottom, grade
from outcomes where scheme_id = $1 and year < $2 and year >= $3
order by year, unit_id, line desc
"""
_LINES = """
select o.unit_id, o.category, o.total, o.rank, o.from_bottom, o.grade, o.line, o.reason,
  o.recorded_at, n.name, o.line < max(o.line) over (partition by o.unit_id) as corrected
from outcomes o
cross join lateral (
  select name from organisation_names n where n.organisation_id = o.unit_id
  order by position desc limit 1
) as n
where o.scheme_id = $1 and o.year = $2
order by o.category, n.name, o.unit_id, o.line
"""
_INSERT = """
insert into outcomes (scheme_id, year, unit_id, line, category, total, rank, from_bottom, grade,
  recorded_at, reason)
select $1, $2, n.unit_id,
  1 + (select count(*) from outcomes o
       where o.scheme_id = $1 and o.year = $2 and o.unit_id = n.unit_id),
  n.category, n.total, n.rank, n.from_bottom, n.grade, $9, $10
from unnest($3::text[], $4::text[], $5::numeric[], $6::int[], $7::int[], $8::text[])
  as n (unit_id, category, total, rank, from_bottom, grade)
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
    for row in await tx.fetch(_CURRENT, scheme_id, before, before - years):
        earlier = EarlierResult(row["from_bottom"], row["grade"])
        results.setdefault(row["year"], {})[row["unit_id"]] = earlier
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeLine:
    """A recorded result. `corrected`: a later line of the unit replaces it."""

    outcome: OutcomeRow
    name: str
    line: int
    reason: str
    recorded_at: datetime
    corrected: bool


async def current_outcomes(
    tx: Transaction,
    scheme_id: str,
    year: int,
) -> dict[str, OutcomeRow]:
    """Return the results of one year that stand, by unit."""
    records = await tx.fetch(_CURRENT, scheme_id, year + 1, year)
    return {record["unit_id"]: _outcome(record) for record in records}


async def outcome_lines(
    tx: Transaction,
    scheme_id: str,
    year: int,
) -> list[OutcomeLine]:
    """Return every line of one year by rank, corrected ones before those that replace them."""
    records = await tx.fetch(_LINES, scheme_id, year)
    return [
        OutcomeLine(
            outcome=_outcome(record),
            name=record["name"],
            line=record["line"],
            reason=record["reason"],
            recorded_at=record["recorded_at"],
            corrected=record["corrected"],
        )
        for record in records
    ]


def _outcome(record: asyncpg.Record) -> OutcomeRow:
    return OutcomeRow(
        unit_id=record["unit_id"],
        category=record["category"],
        total=record["total"],
        rank=record["rank"],
        from_bottom=record["from_bottom"],
        grade=record["grade"],
    )


async def count_lines(
    tx: Transaction,
    scheme_id: str,
    year: int,
) -> int:
    """Return how many lines one year has: every correction adds one."""
    lines: int = await tx.fetchval(
        "select count(*) from outcomes where scheme_id = $1 and year = $2", scheme_id, year
    )
    return lines


async def add_outcomes(
    tx: Transaction,
    scheme_id: str,
    year: int,
    rows: Sequence[OutcomeRow],
    *,
    reason: str,
) -> None:
    """Insert a line for each result, after those that the unit already has."""
    await tx.run(
        _INSERT,
        scheme_id,
        year,
        [row.unit_id for row in rows],
        [row.category for row in rows],
        [row.total for row in rows],
        [row.rank for row in rows],
        [row.from_bottom for row in rows],
        [row.grade for row in rows],
        tx.now,
        reason,
    )
