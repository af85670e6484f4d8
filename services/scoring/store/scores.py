"""Running scores: locked before their sums are read, written all at once, told when a second has
passed; and what moved them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from shared.storage.transaction import Transaction

TOLD_EVERY_SECONDS = 1.0
TELL_MAX = 500
"""Scores told in one transaction."""

_LOCK = """
select unit_no, body from scores where campaign_id = $1 and scheme_version = $2 and unit_no = any($3) order by unit_no for update
"""
_WRITE = """
update scores s set total = n.total, ranked = n.ranked, sample = n.sample, body = n.body, scored_at = clock_timestamp(),
  untold = s.untold or n.tell
from unnest($3::int[], $4::numeric[], $5::boolean[], $6::int[], $7::text[], $8::boolean[]) as n (unit_no, total, ranked, sample, body, tell)
where s.campaign_id = $1 and s.scheme_version = $2 and s.unit_no = n.unit_no
"""
# Rate and latency are measured by the real clock: legal time may stand still in a test or a demo.
# What was told in the future was told by a clock that had jumped, and says nothing about how long
# ago it was.
_TELL = f"""
with due as (
  select s.campaign_id, s.unit_no, s.scheme_version from scores s
  join campaigns c on c.id = s.campaign_id and c.scheme_version = s.scheme_version
  where s.untold
    and (s.told_at is null or s.told_at not between clock_timestamp() - interval '{TOLD_EVERY_SECONDS} seconds' and clock_timestamp())
    and ($2::text is null or (s.campaign_id = $2 and s.unit_no = any($3)))
  order by s.campaign_id, s.unit_no limit $1 for update of s skip locked
)
update scores s set untold = false, told_at = clock_timestamp() from due d
where (s.campaign_id, s.unit_no, s.scheme_version) = (d.campaign_id, d.unit_no, d.scheme_version)
returning s.campaign_id, s.unit_no, s.body
"""
_BALLOTS_OF_THE_DAY = """
insert into movements as m (campaign_id, unit_no, scheme_version, day, moved_at, source, ballots, before, after, rank_before, rank_after)
select $1, n.unit_no, $2, $3, $4, 'ballot', n.ballots, n.before, n.after, n.rank_before, n.rank_after
from unnest($5::int[], $6::int[], $7::numeric[], $8::numeric[], $9::int[], $10::int[])
  as n (unit_no, ballots, before, after, rank_before, rank_after)
on conflict (campaign_id, unit_no, scheme_version, day) where source = 'ballot'
do update set ballots = m.ballots + excluded.ballots, after = excluded.after, rank_after = excluded.rank_after, moved_at = excluded.moved_at
"""
_MOVED = """
insert into movements (campaign_id, unit_no, scheme_version, day, moved_at, source, ballots, events, before, after, rank_before, rank_after)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A score as it goes into its row. `tell`: hearers have to know."""

    unit_no: int
    total: Decimal | None
    ranked: bool
    sample: int
    body: str
    tell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A total that moved: by `ballots` answers to item 1, by the ledger's `events`, or by new rules
    (neither).
    """

    unit_no: int
    source: str
    ballots: int
    events: Sequence[UUID]
    before: Decimal | None
    after: Decimal | None
    rank_before: int | None
    rank_after: int | None


async def lock_scores(
    tx: Transaction, campaign_id: str, version: str, unit_nos: Collection[int], *, wait: bool = True
) -> dict[int, str | None]:
    """Hold the score rows of these units: unit → the body before, None when never scored. Without
    `wait` only those that nobody holds.

    Who holds a row and then reads the sums, in a later statement, sees all that was committed
    before: whoever comes last writes the newest score.
    """
    rows = await tx.fetch(
        _LOCK + ("" if wait else " skip locked"), campaign_id, version, sorted(unit_nos)
    )
    return {row["unit_no"]: row["body"] for row in rows}


async def write_scores(
    tx: Transaction, campaign_id: str, version: str, scores: Sequence[Written]
) -> None:
    if scores:
        columns = (
            [getattr(one, name) for one in scores]
            for name in ("unit_no", "total", "ranked", "sample", "body", "tell")
        )
        await tx.run(_WRITE, campaign_id, version, *columns)


async def take_untold(
    tx: Transaction,
    *,
    limit: int = TELL_MAX,
    campaign_id: str | None = None,
    unit_nos: Collection[int] = (),
) -> list[asyncpg.Record]:
    """Scores (campaign_id, unit_no, body) to be told now, marked as told; of all campaigns, or of
    these units only.
    """
    return await tx.fetch(_TELL, limit, campaign_id, list(unit_nos))


async def bodies(
    tx: Transaction, campaign_id: str, version: str, unit_nos: Collection[int] | None = None
) -> dict[int, str]:
    """Unit → its score as JSON; units never scored are missing."""
    rows = await tx.fetch(
        "select unit_no, body from scores where campaign_id = $1 and scheme_version = $2 and body is not null "
        "and ($3::int[] is null or unit_no = any($3))",
        campaign_id,
        version,
        None if unit_nos is None else list(unit_nos),
    )
    return {row["unit_no"]: row["body"] for row in rows}


async def keep_explanation(
    tx: Transaction, campaign_id: str, version: str, unit_no: int, explanation: str
) -> None:
    """Keep what explained a score under rules that are now superseded."""
    await tx.run(
        "update scores set explanation = $4 where campaign_id = $1 and scheme_version = $2 and unit_no = $3 and explanation is null",
        campaign_id,
        version,
        unit_no,
        explanation,
    )


async def kept_explanation(
    tx: Transaction, campaign_id: str, version: str, unit_no: int
) -> str | None:
    return await tx.fetchval(  # type: ignore[no-any-return]
        "select explanation from scores where campaign_id = $1 and scheme_version = $2 and unit_no = $3",
        campaign_id,
        version,
        unit_no,
    )


# ── movements ─────────────────────────────────────────────────────────────────────────────────────


async def note_moved(
    tx: Transaction, campaign_id: str, version: str, day: date, moved: Sequence[Moved]
) -> None:
    """Keep what moved which total. Ballots of one day are one line; everything else is a line each."""
    from_ballots = [one for one in moved if one.source == "ballot"]
    if from_ballots:
        columns = ("unit_no", "ballots", "before", "after", "rank_before", "rank_after")
        await tx.run(
            _BALLOTS_OF_THE_DAY,
            campaign_id,
            version,
            day,
            tx.now,
            *([getattr(m, c) for m in from_ballots] for c in columns),
        )
    for one in (one for one in moved if one.source != "ballot"):
        await tx.run(
            _MOVED,
            campaign_id,
            one.unit_no,
            version,
            day,
            tx.now,
            one.source,
            one.ballots,
            list(one.events),
            one.before,
            one.after,
            one.rank_before,
            one.rank_after,
        )


async def movements(
    tx: Transaction,
    campaign_id: str,
    *,
    unit_no: int | None = None,
    source: str = "",
    since: date | None = None,
    limit: int,
    offset: int = 0,
) -> list[Any]:
    """What moved, newest first, with number and text of the ledger line behind it (arrays, in the
    order of the events).
    """
    return await tx.fetch(
        """
        select m.*, e.numbers, e.texts, e.measures, e.details from movements m
        left join lateral (
          select array_agg(l.number) as numbers, array_agg(l.text) as texts,
            array_agg(l.measure) as measures, array_agg(l.detail) as details
          from (select * from ledger l where l.campaign_id = m.campaign_id and l.event_id = any(m.events)
                order by l.occurred_at, l.event_id, l.part limit 20) l
        ) e on true
        where m.campaign_id = $1 and ($2::int is null or m.unit_no = $2) and ($3 = '' or m.source = $3)
          and ($4::date is null or m.day >= $4)
        order by m.moved_at desc, m.id desc limit $5 offset $6
        """,
        campaign_id,
        unit_no,
        source,
        since,
        limit,
        offset,
    )


async def count_movements(
    tx: Transaction,
    campaign_id: str,
    *,
    unit_no: int | None = None,
    source: str = "",
    since: date | None = None,
) -> int:
    return await tx.fetchval(  # type: ignore[no-any-return]
        "select count(*) from movements where campaign_id = $1 and ($2::int is null or unit_no = $2) and ($3 = '' or source = $3) "
        "and ($4::date is null or day >= $4)",
        campaign_id,
        unit_no,
        source,
        since,
    )


async def state_on(
    tx: Transaction, campaign_id: str, version: str, day: date
) -> dict[int, tuple[Decimal | None, int | None]]:
    """Unit → (total, rank) at the end of that day, of the units that moved since."""
    rows = await tx.fetch(
        "select distinct on (unit_no) unit_no, before, rank_before from movements "
        "where campaign_id = $1 and scheme_version = $2 and day > $3 order by unit_no, day, id",
        campaign_id,
        version,
        day,
    )
    return {row["unit_no"]: (row["before"], row["rank_before"]) for row in rows}


# ── earlier years ─────────────────────────────────────────────────────────────────────────────────


OutcomeRow = tuple[str, str, Decimal | None, int | None, int | None, str | None]
"""unit_id, category, total, rank, from_bottom, grade."""


async def outcomes(tx: Transaction, scheme_id: str, *, before: int, years: int) -> list[Any]:
    """year, unit_id, from_bottom, grade of the years just before."""
    return await tx.fetch(
        "select year, unit_id, from_bottom, grade from outcomes where scheme_id = $1 and year < $2 and year >= $3",
        scheme_id,
        before,
        before - years,
    )


async def keep_outcomes(tx: Transaction, rows: Sequence[tuple[str, int, *OutcomeRow]]) -> None:
    """Write (scheme_id, year, unit_id, category, total, rank, from_bottom, grade); a place told
    before is replaced.
    """
    if rows:
        await tx.run(
            "insert into outcomes (scheme_id, year, unit_id, category, total, rank, from_bottom, grade, recorded_at) "
            "select t.*, $9 "
            "from unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::numeric[], $6::int[], $7::int[], $8::text[]) as t "
            "on conflict (scheme_id, year, unit_id) do update set category = excluded.category, total = excluded.total, "
            "rank = excluded.rank, from_bottom = excluded.from_bottom, grade = excluded.grade, recorded_at = excluded.recorded_at",
            *map(list, zip(*rows, strict=True)),
            tx.now,
        )
