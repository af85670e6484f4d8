"""Imports, their rows and their mistakes."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from shared.storage.transaction import Transaction

MISTAKES_SHOWN: Final = 1_000


async def begin(
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
        insert into imports (id, kind, source, file_name, campaign_id, dry_run, state, total, done, repeated, refused, by, started_at)
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


async def claim(tx: Transaction, import_id: UUID, source: str, row_ids: Sequence[str]) -> set[str]:
    """Take these rows for this import; gives those that were not in before. Who comes second waits
    for the first to commit.
    """
    rows = await tx.fetch(
        """
        insert into import_rows (source, row_id, import_id) select $2, row_id, $1 from unnest($3::text[]) as r (row_id) order by row_id
        on conflict do nothing returning row_id
        """,
        import_id,
        source,
        list(row_ids),
    )
    return {row["row_id"] for row in rows}


async def known(tx: Transaction, source: str, row_ids: Sequence[str]) -> set[str]:
    """Which of these rows are in already."""
    rows = await tx.fetch(
        "select row_id from import_rows where source = $1 and row_id = any($2::text[])",
        source,
        list(row_ids),
    )
    return {row["row_id"] for row in rows}


async def give_back(tx: Transaction, source: str, row_ids: Sequence[str]) -> None:
    """These rows were refused after all: they may be imported again when they are right."""
    await tx.run(
        "delete from import_rows where source = $1 and row_id = any($2::text[])",
        source,
        list(row_ids),
    )


async def note_mistakes(
    tx: Transaction, import_id: UUID, mistakes: Sequence[tuple[int, str, str]]
) -> None:
    """Keep refused rows: (line, column, reason)."""
    if mistakes:
        lines, names, reasons = zip(*mistakes, strict=True)
        await tx.run(
            'insert into import_errors (import_id, line, "column", reason) select $1, * from unnest($2::int[], $3::text[], $4::text[])',
            import_id,
            list(lines),
            list(names),
            list(reasons),
        )


async def advance(
    tx: Transaction, import_id: UUID, *, done: int, repeated: int, refused: int
) -> None:
    await tx.run(
        "update imports set done = done + $2, repeated = repeated + $3, refused = refused + $4 where id = $1",
        import_id,
        done,
        repeated,
        refused,
    )


async def end(tx: Transaction, import_id: UUID, state: str) -> None:
    await tx.run(
        "update imports set state = $2, ended_at = $3 where id = $1", import_id, state, tx.now
    )


async def find(tx: Transaction, import_id: UUID) -> asyncpg.Record | None:
    return await tx.fetchrow("select * from imports where id = $1", import_id)


async def listed(tx: Transaction) -> list[asyncpg.Record]:
    return await tx.fetch("select * from imports order by started_at desc limit 50")


async def mistakes(tx: Transaction, import_id: UUID) -> list[asyncpg.Record]:
    """The refused rows of an import, in the order of the file."""
    return await tx.fetch(
        'select line, "column", reason from import_errors where import_id = $1 order by line, id limit $2',
        import_id,
        MISTAKES_SHOWN,
    )
