"""Imports, the rows that were imported and the rows that were rejected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.appraisal.imports import RowError
from shared.storage.transaction import Transaction

LIST_MAX: Final = 50
ERRORS_SHOWN: Final = 1_000
_COLUMNS: Final = (
    "id, kind, source, file_name, campaign_id, dry_run, state, total, done, repeated, rejected, "
    '"by", started_at, ended_at'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """An import and the counts of its rows so far."""

    id: UUID
    kind: str
    source: str
    file_name: str
    campaign_id: str
    dry_run: bool
    state: str
    total: int
    done: int
    repeated: int
    rejected: int
    by: UUID
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportWithErrors(Import):
    errors: list[RowError]


async def add(
    tx: Transaction,
    import_id: UUID,
    *,
    kind: str,
    source: str,
    file_name: str,
    campaign_id: str,
    dry_run: bool,
    total: int,
    by: UUID,
) -> None:
    await tx.run(
        """
        insert into imports (id, kind, source, file_name, campaign_id, dry_run, state, total, done,
                             repeated, rejected, "by", started_at)
        values ($1, $2, $3, $4, $5, $6, 'running', $7, 0, 0, 0, $8, $9)
        """,
        import_id,
        kind,
        source,
        file_name,
        campaign_id,
        dry_run,
        total,
        by,
        tx.now,
    )


async def claim_rows(
    tx: Transaction,
    import_id: UUID,
    source: str,
    row_ids: Sequence[str],
) -> set[str]:
    """Claim rows for this import; return those that were not imported before.

    A concurrent import of the same rows waits until this transaction commits.
    """
    records = await tx.fetch(
        """
        insert into import_rows (source, row_id, import_id)
        select $2, row_id, $1 from unnest($3::text[]) as r (row_id) order by row_id
        on conflict do nothing returning row_id
        """,
        import_id,
        source,
        list(row_ids),
    )
    return {record["row_id"] for record in records}


async def imported_rows(
    tx: Transaction,
    source: str,
    row_ids: Sequence[str],
) -> set[str]:
    """Return which of these rows were imported before."""
    records = await tx.fetch(
        "select row_id from import_rows where source = $1 and row_id = any($2::text[])",
        source,
        list(row_ids),
    )
    return {record["row_id"] for record in records}


async def release_rows(
    tx: Transaction,
    source: str,
    row_ids: Sequence[str],
) -> None:
    """Release rejected rows, so that they can be imported once they are corrected."""
    await tx.run(
        "delete from import_rows where source = $1 and row_id = any($2::text[])",
        source,
        list(row_ids),
    )


async def add_errors(
    tx: Transaction,
    import_id: UUID,
    errors: Sequence[RowError],
) -> None:
    if not errors:
        return
    await tx.run(
        'insert into import_errors (import_id, line, "column", reason) '
        "select $1, * from unnest($2::int[], $3::text[], $4::text[])",
        import_id,
        [error.line for error in errors],
        [error.column for error in errors],
        [error.reason for error in errors],
    )


async def advance(
    tx: Transaction,
    import_id: UUID,
    *,
    done: int,
    repeated: int,
    rejected: int,
) -> None:
    """Add the rows of a batch to the counts of an import."""
    await tx.run(
        "update imports set done = done + $2, repeated = repeated + $3, rejected = rejected + $4 "
        "where id = $1",
        import_id,
        done,
        repeated,
        rejected,
    )


async def end(
    tx: Transaction,
    import_id: UUID,
    state: str,
) -> None:
    await tx.run(
        "update imports set state = $2, ended_at = $3 where id = $1",
        import_id,
        state,
        tx.now,
    )


async def list_recent(tx: Transaction) -> list[Import]:
    records = await tx.fetch(
        f"select {_COLUMNS} from imports order by started_at desc limit $1", LIST_MAX
    )
    return [Import(**record) for record in records]


async def find_progress(tx: Transaction, import_id: UUID) -> ImportWithErrors | None:
    """Return an import and its rejected rows in the order of the file, at most ERRORS_SHOWN."""
    record = await tx.fetchrow(f"select {_COLUMNS} from imports where id = $1", import_id)
    if record is None:
        return None
    errors = await tx.fetch(
        'select line, "column", reason from import_errors where import_id = $1 '
        "order by line, id limit $2",
        import_id,
        ERRORS_SHOWN,
    )
    return ImportWithErrors(**record, errors=[RowError(**error) for error in errors])
