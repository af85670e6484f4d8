"""Import one batch of rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.intake.actions.imports.ballots import import_ballots
from services.intake.actions.imports.complaints import import_complaints
from services.intake.actions.imports.rows import Importer, ImportJob
from services.intake.actions.imports.visits import import_visits
from services.intake.store import imports as store
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow, RowError
from shared.foundation import telemetry
from shared.storage.transaction import Transaction

IMPORTERS: Final[dict[str, Importer]] = {
    "complaints": import_complaints,
    "ballots": import_ballots,
    "visits": import_visits,
}


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The rows of one batch: imported, imported before, and the errors of those rejected."""

    done: int
    repeated: int
    errors: list[RowError]


@dataclass(slots=True)
class ImportProgress:
    """The counts of an import: rows of the file, imported, imported before, rejected."""

    id: UUID
    total: int
    done: int = 0
    repeated: int = 0
    errors: list[RowError] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        return len(self.errors)

    @property
    def processed(self) -> int:
        return self.done + self.repeated + self.rejected

    def add(self, result: BatchResult) -> None:
        self.done += result.done
        self.repeated += result.repeated
        self.errors += result.errors


async def import_batch(
    tx: Transaction,
    job: ImportJob,
    batch: Sequence[MappedRow | RowError],
    import_id: UUID,
) -> BatchResult:
    """Import one batch: skip rows that were imported before, record errors, import the rest."""
    mapped = [row for row in batch if isinstance(row, MappedRow)]
    unmapped = [row for row in batch if isinstance(row, RowError)]
    new_rows = await _new_rows(tx, job, mapped, import_id)
    rejected = await _import_rows(tx, job, new_rows)
    errors = sorted([*unmapped, *rejected], key=lambda error: error.line)
    result = BatchResult(
        done=len(new_rows) - len(rejected),
        repeated=len(mapped) - len(new_rows),
        errors=errors,
    )
    await _record(tx, import_id, result)
    _count(job, result)
    return result


async def _new_rows(
    tx: Transaction,
    job: ImportJob,
    rows: Sequence[MappedRow],
    import_id: UUID,
) -> list[MappedRow]:
    """Return the rows that were not imported before; claim them unless this is a dry run."""
    ids = [row.id for row in rows]
    if job.dry_run:
        imported = await store.imported_rows(tx, job.source, ids)
        return [row for row in rows if row.id not in imported]
    claimed = await store.claim_rows(tx, import_id, job.source, ids)
    return [row for row in rows if row.id in claimed]


async def _import_rows(
    tx: Transaction,
    job: ImportJob,
    rows: Sequence[MappedRow],
) -> list[RowError]:
    """Import new rows; return the errors of those rejected, which can be imported again."""
    import_rows = IMPORTERS[job.mapping.kind]
    rejected = await import_rows(tx, job, rows)
    if rejected and not job.dry_run:
        rejected_ids = [row.id for row, _ in rejected]
        await store.release_rows(tx, job.source, rejected_ids)
    return [_row_error(job, row, error) for row, error in rejected]


def _row_error(
    job: ImportJob,
    row: MappedRow,
    error: Rejected,
) -> RowError:
    column = job.mapping.column_of(error.field or "")
    return RowError(row.line, column, error.sentence)


async def _record(
    tx: Transaction,
    import_id: UUID,
    result: BatchResult,
) -> None:
    await store.add_errors(tx, import_id, result.errors)
    await store.advance(
        tx,
        import_id,
        done=result.done,
        repeated=result.repeated,
        rejected=len(result.errors),
    )


def _count(job: ImportJob, result: BatchResult) -> None:
    counts = {
        "checked" if job.dry_run else "done": result.done,
        "repeated": result.repeated,
        "refused": len(result.errors),
    }
    for label, count in counts.items():
        telemetry.imported_rows.labels(job.mapping.kind, label).inc(count)
