"""The ledger: everything besides ballots that can change a score."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Final
from uuid import UUID

import asyncpg

from services.scoring.domain.ledger import REPLACEABLE, LedgerEntry
from shared.storage.transaction import Transaction

_TYPES: Final = {
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
_COLUMNS: Final = tuple(field.name for field in fields(LedgerEntry))
assert set(_TYPES) == set(_COLUMNS), "the ledger has a column for every field of an entry"
_PARAMETERS: Final = ", ".join(f"${n}::{_TYPES[name]}[]" for n, name in enumerate(_COLUMNS, 2))

_INSERT = f"""
insert into ledger (campaign_id, {", ".join(_COLUMNS)})
select $1, * from unnest({_PARAMETERS}) on conflict do nothing
"""
_IS_CURRENT = """
not (l.measure = any($3) and exists (
  select from ledger n
  where n.campaign_id = l.campaign_id and n.subject_id = l.subject_id
    and n.version > l.version and n.measure = any($3)))
"""
# One index lookup for each line of the unit: with a join, the planner reads the whole campaign.
_CURRENT_ENTRIES = f"""
select l.*, coalesce(l.kind, (
    select o.kind from ledger o
    where o.campaign_id = l.campaign_id and o.subject_id = l.subject_id
      and o.measure = 'case_opened'
  )) as case_kind, l.unit_no as owner
from ledger l
where l.campaign_id = $1 and l.unit_no = any($2) and {_IS_CURRENT}
union all
select l.*, null, c.unit_no from ledger l
join (
  select distinct source_id, unit_no from ledger
  where campaign_id = $1 and measure = 'case_closed' and unit_no = any($2)
) c on c.source_id = l.subject_id
where l.campaign_id = $1 and l.measure = 'rated' and {_IS_CURRENT}
"""
_AFFECTED_UNITS = """
select distinct unit_no from ledger
where campaign_id = $1 and unit_no is not null
  and (subject_id = any($2) or (measure = 'case_closed' and source_id = any($2)))
"""
_ENTRIES_ABOUT = """
select * from ledger where campaign_id = $1 and subject_id = $2 order by version, part
"""


async def insert_entries(
    tx: Transaction,
    campaign_id: str,
    entries: Sequence[LedgerEntry],
) -> int:
    """Insert entries that are not stored yet. Returns how many were new."""
    if not entries:
        return 0
    columns = ([getattr(entry, name) for entry in entries] for name in _COLUMNS)
    return await tx.run(_INSERT, campaign_id, *columns)


async def affected_units(
    tx: Transaction,
    campaign_id: str,
    subject_ids: Collection[UUID],
) -> set[int]:
    """Return the units with an entry about one of these subjects.

    Also those that closed a case whose source is one of them.
    """
    rows = await tx.fetch(_AFFECTED_UNITS, campaign_id, list(subject_ids))
    return {unit_no for (unit_no,) in rows}


async def current_entries(
    tx: Transaction,
    campaign_id: str,
    unit_nos: Collection[int],
) -> dict[int, list[LedgerEntry]]:
    """Unit → its current entries, including the ratings of its closed cases."""
    rows = await tx.fetch(_CURRENT_ENTRIES, campaign_id, list(unit_nos), list(REPLACEABLE))
    entries: dict[int, list[LedgerEntry]] = {unit_no: [] for unit_no in unit_nos}
    for row in rows:
        entries[row["owner"]].append(_entry(row, kind=row["case_kind"]))
    return entries


async def entries_about(
    tx: Transaction,
    campaign_id: str,
    subject_id: UUID,
) -> list[LedgerEntry]:
    """Return all entries about one subject, superseded ones too, oldest version first."""
    rows = await tx.fetch(_ENTRIES_ABOUT, campaign_id, subject_id)
    return [_entry(row, kind=row["kind"]) for row in rows]


def _entry(row: asyncpg.Record, *, kind: str | None) -> LedgerEntry:
    values = {name: row[name] for name in _COLUMNS}
    return LedgerEntry(**values | {"kind": kind})
