"""Opening many cases in two statements."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from services.casework.domain.deadlines import DeadlineFields
from services.casework.domain.opening import CaseFields, CaseOrigin, HistoryFields, NewCase
from shared.appraisal.labels import CaseSource
from shared.storage.transaction import Transaction

_RESERVE_NUMBERS: Final = """
with fresh as (
  select distinct on (source, source_id) *
  from unnest($1::int[], $2::text[], $3::uuid[]) with ordinality as m (year, source, source_id, n)
  where not exists (
    select from cases c where (c.source, c.source_id) = (m.source, m.source_id)
  ) order by source, source_id, n
), reserved as (
  insert into series as s (year, last)
  select year, count(*) from fresh group by year order by year
  on conflict (year) do update set last = s.last + excluded.last returning year, last
)
select source, source_id,
  last - count(*) over (partition by year) + row_number() over (partition by year order by n)
    as number
from fresh join reserved using (year)
"""


async def reserve_numbers(
    tx: Transaction,
    origins: Sequence[CaseOrigin],
    years: Sequence[int],
) -> dict[tuple[CaseSource, UUID], int]:
    """Reserve a number for every origin that has no case yet, in their order.

    `years` are the years of their campaigns; they are locked by `calendar.rules_for_opening`, so
    no other transaction opens one of these cases meanwhile. Returns the numbers by source key.
    """
    rows = await tx.fetch(
        _RESERVE_NUMBERS,
        years,
        [origin.source for origin in origins],
        [origin.source_id for origin in origins],
    )
    return {(CaseSource(row["source"]), UUID(str(row["source_id"]))): row["number"] for row in rows}


def _columns(struct: type[msgspec.Struct]) -> str:
    return ", ".join(struct.__struct_fields__)


def _insert(
    table: str,
    struct: type[msgspec.Struct],
    argument: int,
) -> str:
    """An insert of rows given as JSON, by the names of their columns."""
    columns = _columns(struct)
    return f"""
        insert into {table} ({columns})
        select {columns} from json_populate_recordset(null::{table}, ${argument}::json)
        """


# json_populate_recordset inserts a batch in one round trip; it was measured to be the fastest way.
_INSERT_CASES: Final = f"""
with inserted_cases as ({_insert("cases", CaseFields, 1)}),
  inserted_history as ({_insert("case_history", HistoryFields, 2)})
{_insert("deadlines", DeadlineFields, 3)}
"""


async def insert_cases(tx: Transaction, new_cases: Sequence[NewCase]) -> None:
    """Insert cases with their first history and deadlines in one statement."""
    await tx.run(
        _INSERT_CASES,
        _json(new.case for new in new_cases),
        _json(entry for new in new_cases for entry in new.history),
        _json(deadline for new in new_cases for deadline in new.deadlines),
    )


def _json(rows: Iterable[Any]) -> str:
    return msgspec.json.encode(list(rows)).decode()
