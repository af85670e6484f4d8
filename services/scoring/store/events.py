"""What happened, kept: ballots and their tallies, ledger lines, and the notes of which units moved."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.scoring.domain.entries import REPLACEABLE, Entry
from shared.appraisal.ballots import Answer
from shared.storage.transaction import Transaction

_KEEP_BALLOTS = """
with kept as (
  insert into ballots (campaign_id, ballot_id, response_group_id, point, answers, cast_at)
  select $1, b.* from unnest($2::uuid[], $3::int[], $4::text[], $5::bytea[], $6::timestamptz[]) as b
  on conflict do nothing returning ballot_id
)
select case when count(*) = cardinality($2::uuid[]) then null else coalesce(array_agg(ballot_id), '{}') end from kept
"""
_COUNT = """
insert into tallies as t (response_group_id, unit_no, item_no, option_no, shard, answer_count)
select n.response_group_id, n.unit_no, n.item_no, n.option_no, $6, n.answer_count
from unnest($1::int[], $2::int[], $3::smallint[], $4::smallint[], $5::bigint[]) as n (response_group_id, unit_no, item_no, option_no, answer_count)
order by 1, 2, 3, 4
on conflict (response_group_id, unit_no, item_no, option_no, shard) do update set answer_count = t.answer_count + excluded.answer_count
"""
_ANSWER_COUNTS = """
select response_group_id, unit_no, item_no, option_no, sum(answer_count)::bigint as answer_count from tallies
where response_group_id = any($1) and ($2::int[] is null or unit_no = any($2)) group by 1, 2, 3, 4
"""
_COLUMNS = tuple(field.name for field in fields(Entry))
_TYPES = {
    "event_id": "uuid",
    "part": "smallint",
    "measure": "text",
    "subject_id": "uuid",
    "version": "bigint",
    "occurred_at": "timestamptz",
    "unit_no": "int",
    "detail": "text",
    "item": "text",
    "late": "boolean",
    "option_no": "smallint",
    "points": "numeric",
    "kind": "text",
    "source_id": "uuid",
    "number": "text",
    "text": "text",
}
assert set(_TYPES) == set(_COLUMNS), "a ledger line is an entry, column by column"
_ENTER = f"""
insert into ledger (campaign_id, {", ".join(_COLUMNS)})
select $1, * from unnest({", ".join(f"${n}::{_TYPES[name]}[]" for n, name in enumerate(_COLUMNS, start=2))})
on conflict do nothing
"""
_STANDS = """
not (l.measure = any($3) and exists (
  select from ledger n
  where n.campaign_id = l.campaign_id and n.subject_id = l.subject_id and n.version > l.version and n.measure = any($3)))
"""
# One look by index for each line of the unit; as a join the planner reads the whole campaign for
# it.
_LINES = f"""
select l.*, coalesce(l.kind, (
    select o.kind from ledger o where o.campaign_id = l.campaign_id and o.subject_id = l.subject_id and o.measure = 'case_opened'
  )) as case_kind, l.unit_no as of_unit
from ledger l
where l.campaign_id = $1 and l.unit_no = any($2) and {_STANDS}
union all
select l.*, null, c.unit_no from ledger l
join (select distinct source_id, unit_no from ledger where campaign_id = $1 and measure = 'case_closed' and unit_no = any($2)) c
  on c.source_id = l.subject_id
where l.campaign_id = $1 and l.measure = 'rated' and {_STANDS}
"""
_TOUCHED = """
select distinct unit_no from ledger
where campaign_id = $1 and unit_no is not null and (subject_id = any($2) or (measure = 'case_closed' and source_id = any($2)))
"""


async def keep_ballots(
    tx: Transaction, campaign_id: str, rows: Sequence[tuple[UUID, int, str | None, bytes, datetime]]
) -> Collection[UUID] | None:
    """Keep ballots (id, response_group_id, point, packed answers, cast_at) once. None: all are new; otherwise
    the ids of those that are.
    """
    new = await tx.fetchval(_KEEP_BALLOTS, campaign_id, *map(list, zip(*rows, strict=True)))
    return None if new is None else {UUID(str(one)) for one in new}


async def add_answer_counts(
    tx: Transaction, answer_counts: Mapping[tuple[int, Answer], int], *, shard: int
) -> None:
    """Add answers by (response_group_id, (unit_no, item_no, option_no)), in one statement and in one order, so
    that nobody deadlocks.
    """
    if answer_counts:
        response_group_ids = [response_group_id for response_group_id, _ in answer_counts]
        units, items, options = zip(*(answer for _, answer in answer_counts), strict=True)
        await tx.run(
            _COUNT, response_group_ids, units, items, options, list(answer_counts.values()), shard
        )


async def answer_counts_of(
    tx: Transaction, response_group_ids: Collection[int], unit_nos: Collection[int] | None = None
) -> list[asyncpg.Record]:
    """response_group_id, unit_no, item_no, option_no, answer_count: sums over all shards, of these units or of all."""
    return await tx.fetch(
        _ANSWER_COUNTS, list(response_group_ids), None if unit_nos is None else list(unit_nos)
    )


async def enter(tx: Transaction, campaign_id: str, entries: Sequence[Entry]) -> int:
    """Write ledger lines; those there already stay as they are. Gives how many were new."""
    if not entries:
        return 0
    return await tx.run(
        _ENTER, campaign_id, *([getattr(entry, name) for entry in entries] for name in _COLUMNS)
    )


async def touched_units(tx: Transaction, campaign_id: str, subjects: Collection[UUID]) -> list[int]:
    """Units that have a ledger line about one of these cases, visits, complaints …, or whose closed
    case came from one.
    """
    return [row["unit_no"] for row in await tx.fetch(_TOUCHED, campaign_id, list(subjects))]


async def lines_of(
    tx: Transaction, campaign_id: str, unit_nos: Collection[int]
) -> dict[int, list[Entry]]:
    """Unit → its standing ledger lines, with what complainants said about its closed cases."""
    rows = await tx.fetch(_LINES, campaign_id, list(unit_nos), list(REPLACEABLE))
    lines: dict[int, list[Entry]] = {unit_no: [] for unit_no in unit_nos}
    for row in rows:
        lines[row["of_unit"]].append(entry_of(row, kind=row["case_kind"]))
    return lines


def entry_of(row: Mapping[str, Any], **changes: Any) -> Entry:
    """A row of the ledger as the domain sees it."""
    return Entry(**{name: row[name] for name in _COLUMNS} | changes)


async def lines_about(tx: Transaction, campaign_id: str, subject_id: UUID) -> list[Entry]:
    """All ledger lines about one subject, oldest version first, superseded ones too."""
    rows = await tx.fetch(
        "select * from ledger where campaign_id = $1 and subject_id = $2 order by version, part",
        campaign_id,
        subject_id,
    )
    return [entry_of(row) for row in rows]


async def note_change(
    tx: Transaction,
    campaign_id: str,
    *,
    shard: int,
    source: str,
    unit_nos: Iterable[int],
    events: Collection[UUID] = (),
) -> None:
    """Leave word that these units are to be scored again, and which of the ledger's events moved
    them.
    """
    await tx.run(
        "insert into changes (campaign_id, shard, source, unit_nos, events) values ($1, $2, $3, $4, $5)",
        campaign_id,
        shard,
        source,
        sorted(unit_nos),
        list(events),
    )


async def take_changes(tx: Transaction, *, limit: int, ballots: bool) -> list[asyncpg.Record]:
    """Take away notes (campaign_id, source, unit_nos, events) that nobody else is taking; without
    `ballots` only what came otherwise.
    """
    return await tx.fetch(
        "delete from changes where id in "
        "(select id from changes where $2 or source <> 'ballot' order by id limit $1 for update skip locked) "
        "returning campaign_id, source, unit_nos, events",
        limit,
        ballots,
    )
