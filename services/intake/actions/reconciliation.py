"""材料核对: every night, compares what was received with the rows and files that there are.

Context: whoever owns the database or the disk can remove a complaint and its files, and no page
would show it. Sealed audit entries say what was received.
Decision: each night intake compares audit entries, rows and files. What is missing stands in the
audit entry `records.reconciled`, on the page 材料核对 and in the metric `records_missing`, which
alerts. Only retention may remove anything, and it leaves an entry.
Consequences: an entry and its row removed together are found by `verify`, not here.
"""

import asyncio
from datetime import datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from services.intake.settings import IntakeContext
from services.intake.store import reconciliation as store
from services.intake.store.encrypted_files import EncryptedFolder
from services.intake.store.reconciliation import FileOnDisk, MissingRecord, Reconciliation
from shared.appraisal.calendar.working_days import civil_day
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.foundation.telemetry import log
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

RUNS_AT: Final = time(2, 0)
FILE: Final = "file"
SYSTEM: Final = "system"


async def reconcile_nightly(database: Database, context: IntakeContext) -> bool:
    """Compare once a night, after two o'clock; False: there is nothing more to do."""
    async with database.transaction(context) as tx:
        last = await store.last_reconciliation(tx)
        is_due = _is_due(tx.now, last)
    if is_due:
        last = await reconcile(database, context)
    telemetry.records_missing.set(len(last.missing) if last else 0)
    return False


def _is_due(now: datetime, last: Reconciliation | None) -> bool:
    """Return whether no comparison was made since the last two o'clock."""
    today = datetime.combine(civil_day(now), RUNS_AT, CHINA)
    latest = today if now >= today else today - timedelta(days=1)
    return last is None or last.at < latest


async def reconcile(database: Database, context: IntakeContext) -> Reconciliation:
    """Compare rows, files and audit entries, and record the outcome in the audit log."""
    lost, count = await _lost_files(database, context)
    async with database.transaction(context) as tx:
        await store.lock_reconciliation(tx)
        expected = await store.still_expected(tx, list(lost))
        missing = await store.missing_records(tx)
        missing += [MissingRecord(FILE, lost[file_id]) for file_id in sorted(expected)]
        outcome = Reconciliation(at=tx.now, missing=missing, files=count)
        facts: dict[str, Any] = msgspec.to_builtins(outcome)
        del facts["at"]
        tx.audit(store.ACTION, "intake", SYSTEM, **facts)
    for record in missing:
        log.error("received record is missing", kind=record.kind, subject=record.subject)
    return outcome


async def _lost_files(database: Database, context: IntakeContext) -> tuple[dict[UUID, str], int]:
    """Return the files without bytes on disk, with their names, and how many were looked at."""
    lost: dict[UUID, str] = {}
    count = 0
    last = UUID(int=0)
    while page := await _files_after(database, last):
        gone = await asyncio.to_thread(_without_bytes, context.files, page)
        lost |= {file.id: f"{file.subject}/{file.subject_id}/{file.id}" for file in gone}
        count += len(page)
        last = page[-1].id
    return lost, count


async def _files_after(database: Database, last: UUID) -> list[FileOnDisk]:
    async with database.transaction() as tx:
        return await store.files_after(tx, last)


def _without_bytes(folder: EncryptedFolder, files: list[FileOnDisk]) -> list[FileOnDisk]:
    return [file for file in files if not folder.is_whole(file.id, file.size, file.derived)]


async def last_outcome(tx: Transaction) -> Reconciliation | None:
    """Return the newest outcome; None before the first night."""
    return await store.last_reconciliation(tx)
