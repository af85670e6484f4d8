"""Import one batch of rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.intake.actions.imports.ballots import import_ballots
from services.intake.actions.imports.complaints import import_complaints
from services.intake.actions.imports.rows import Importer, ImportJob, RejectedRow
from services.intake.actions.imports.visits import import_visits
from services.intake.store import imports as store
from shared.appraisal.imports import MappedRow, RowError
from shared.foundation import telemetry
from shared.storage.transaction import Transaction

IMPORTERS: Final[dict[str, Importer]] = {
    "complaints": import_complaints,
    "ballots": import_ballots,
    "visits": import_visits,
}


@dataclass(slots=True)
class ImportProgress:
    """The counts of an import: rows of the file, imported, imported before, rejected."""

    id: UUID
    total: int
    done: int = 0
    repeated: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)

    @property
    def processed(self) -> int:
        return self.done + self.repeated + self.rejected


async def import_batch(
    tx: Transaction,
    job: ImportJob,
    batch: Sequence[MappedRow | RowError],
    progress: ImportProgress,
) -> None:
    """Import one batch: skip rows that were imported before, record errors, import the rest."""
    mapped = [row for row in batch if isinstance(row, MappedRow)]
    unmapped = [row for row in batch if isinstance(row, RowError)]
    new_rows = await _new_rows(tx, job, mapped, progress.id)
    rejected = await IMPORTERS[job.mapping.kind](tx, job, new_rows)
    if rejected and not job.dry_run:
        await store.release_rows(tx, job.source, [row.id for row, _ in rejected])
    errors = sorted([*unmapped, *_row_errors(job, rejected)], key=lambda error: error.line)
    done = len(new_rows) - len(rejected)
    repeated = len(mapped) - len(new_rows)
    await store.add_errors(tx, progress.id, errors)
    await store.advance(tx, progress.id, done=done, repeated=repeated, rejected=len(errors))
    progress.done += done
    progress.repeated += repeated
    progress.rejected += len(errors)
    progress.errors += errors
    _count(job, done=done, repeated=repeated, rejected=len(errors))


async def _new_rows(
    tx: Transaction, job: ImportJob, rows: Sequence[MappedRow], import_id: UUID
) -> list[MappedRow]:
    """Return the rows that were not imported before; claim them unless this is a dry run."""
    ids = [row.id for row in rows]
    if job.dry_run:
        imported = await store.imported_rows(tx, job.source, ids)
        return [row for row in rows if row.id not in imported]
    claimed = await store.claim_rows(tx, import_id, job.source, ids)
    return [row for row in rows if row.id in claimed]


def _row_errors(job: ImportJob, rejected: Sequence[RejectedRow]) -> list[RowError]:
    return [
        RowError(row.line, job.mapping.column_of(error.field or ""), error.sentence)
        for row, error in rejected
    ]


def _count(job: ImportJob, *, done: int, repeated: int, rejected: int) -> None:
    results = {
        "checked" if job.dry_run else "done": done,
        "repeated": repeated,
        "refused": rejected,
    }
    for result, count in results.items():
        telemetry.imported_rows.labels(job.mapping.kind, result).inc(count)
