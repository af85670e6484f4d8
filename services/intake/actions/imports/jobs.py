"""Check, start and run an import."""

from collections.abc import Callable
from itertools import islice
from typing import Final
from uuid import UUID

from services.intake.actions.imports.batches import IMPORTERS, ImportProgress, import_batch
from services.intake.actions.imports.rows import ImportJob
from services.intake.settings import IntakeContext
from services.intake.store import campaigns
from services.intake.store import imports as store
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    RowMapping,
    Table,
    load_table,
    map_rows,
    read_mapping,
)
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.transaction import Transaction, new_id

BATCH: Final = 200


async def read_job(
    *,
    file_name: str,
    content: bytes,
    mapping: str,
    campaign_id: str,
    dry_run: bool,
    by: Account,
) -> ImportJob:
    """Return the import of this file. Its rows are checked later, one by one.

    Call it before a transaction is opened. Raises Rejected (422) with what to change in the file or
    the mapping, and DecoderBusy.
    """
    row_mapping, table = await _read(file_name, content, mapping)
    if row_mapping.kind not in IMPORTERS:
        raise Rejected("参评单位名册请在“评分 → 参评单位”导入", status=422, field="mapping")
    return ImportJob(
        table=table,
        mapping=row_mapping,
        campaign_id=campaign_id,
        dry_run=dry_run,
        by=by,
    )


async def _read(
    file_name: str,
    content: bytes,
    mapping: str,
) -> tuple[RowMapping, Table]:
    try:
        row_mapping = read_mapping(mapping)
        table = await load_table(file_name, content)
        next(map_rows(table, row_mapping), None)
    except InvalidMapping as error:
        raise Rejected(str(error), status=422, field="mapping") from error
    except InvalidFile as error:
        raise Rejected(str(error), status=422, field="file") from error
    return row_mapping, table


async def start_import(tx: Transaction, job: ImportJob) -> UUID:
    """Record that an import starts; return its id. Raises Rejected (422) for no such campaign."""
    await campaigns.get(tx, job.campaign_id)
    import_id = new_id()
    await store.add(
        tx,
        import_id,
        kind=job.mapping.kind,
        source=job.mapping.source,
        file_name=job.table.name,
        campaign_id=job.campaign_id,
        dry_run=job.dry_run,
        total=job.total,
        by=job.by.id,
    )
    _audit_start(tx, import_id, job)
    return import_id


def _audit_start(
    tx: Transaction,
    import_id: UUID,
    job: ImportJob,
) -> None:
    tx.audit(
        "import.started",
        import_id,
        str(job.by.id),
        kind=job.mapping.kind,
        source=job.mapping.source,
        rows=job.total,
        dry_run=job.dry_run,
    )


def _ignore_progress(progress: ImportProgress) -> None:
    pass


async def run_import(
    database: Database,
    context: IntakeContext,
    import_id: UUID,
    job: ImportJob,
    *,
    on_progress: Callable[[ImportProgress], None] = _ignore_progress,
) -> ImportProgress:
    """Import all rows, each batch in its own transaction; call `on_progress` after each batch.

    If it raises, the import is stopped: committed rows stay imported, and running the same file
    again continues from there.
    """
    progress = ImportProgress(import_id, job.total)
    rows = map_rows(job.table, job.mapping)
    try:
        while batch := list(islice(rows, BATCH)):
            async with database.transaction(context) as tx:
                result = await import_batch(tx, job, batch, import_id)
            progress.add(result)
            on_progress(progress)
    except BaseException:
        await _end(database, context, import_id, "stopped")
        raise
    await _end(database, context, import_id, "finished")
    return progress


async def _end(
    database: Database,
    context: IntakeContext,
    import_id: UUID,
    state: str,
) -> None:
    async with database.transaction(context) as tx:
        await store.end(tx, import_id, state)
        tx.audit("import.ended", import_id, "system", state=state)
