"""Import files with the actions that the API uses, on the database of an installation.

The installation's relays publish the events, now or when it is next started.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.cli.installation import build
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    MappedRow,
    RowError,
    load_table,
    map_rows,
    read_mapping,
    report_csv,
)
from shared.appraisal.labels import Role
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.policies import Account

if TYPE_CHECKING:
    from services.intake.actions.imports import ImportJob

IMPORTER: Final = Account(
    id=UUID(int=0),
    name="import",
    display_name="导入",
    role=Role.OFFICE,
)
"""The acting account of imports by command."""


@dataclass(slots=True)
class ImportResult:
    """How an import ended: rows taken now, rows taken before, and rejected rows."""

    total: int
    done: int
    repeated: int = 0
    errors: list[RowError] = field(default_factory=list)

    def report(self) -> bytes:
        """Return the rejected rows as CSV."""
        rows = [(error.line, error.column, error.reason) for error in self.errors]
        return report_csv(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A CSV file or workbook, recognised by its content, and the text of its mapping."""

    name: str
    content: bytes
    mapping: str

    @staticmethod
    def read(file: Path, mapping: Path) -> "ImportFile":
        """Read a file and its mapping."""
        return ImportFile(
            name=file.name,
            content=file.read_bytes(),
            mapping=mapping.read_text(encoding="utf-8"),
        )


async def import_rows(
    kind: str,
    file: ImportFile,
    *,
    campaign_id: str,
    dry_run: bool,
    settings: Settings,
    on_progress: Callable[[int, int], None],
) -> ImportResult:
    """Import a file. Importing twice changes nothing; a killed import continues when repeated.

    Raises Rejected with what to change in the file or the mapping.
    """
    if kind == "units":
        return await _import_units(
            file,
            campaign_id=campaign_id,
            dry_run=dry_run,
            settings=settings,
        )
    from services.intake.actions import imports

    job = await imports.read_job(
        file_name=file.name,
        content=file.content,
        mapping=file.mapping,
        campaign_id=campaign_id,
        dry_run=dry_run,
        by=IMPORTER,
    )
    _check_kind(kind, job.mapping.kind)
    return await _run_job(job, settings, on_progress)


def _check_kind(kind: str, mapping_kind: str) -> None:
    if mapping_kind != kind:
        raise Rejected(
            f"映射文件用于 {mapping_kind}，与命令中的 {kind} 不一致",
            status=422,
            field="mapping",
        )


async def _run_job(
    job: "ImportJob",
    settings: Settings,
    on_progress: Callable[[int, int], None],
) -> ImportResult:
    from services.intake.actions import imports

    def report(progress: imports.ImportProgress) -> None:
        on_progress(progress.processed, progress.total)

    async with _opened("intake", settings) as service:
        async with service.database.transaction(service.context) as tx:
            import_id = await imports.start_import(tx, job)
        progress = await imports.run_import(
            service.database,
            service.context,
            import_id,
            job,
            on_progress=report,
        )
    return ImportResult(progress.total, progress.done, progress.repeated, progress.errors)


async def _import_units(
    file: ImportFile,
    *,
    campaign_id: str,
    dry_run: bool,
    settings: Settings,
) -> ImportResult:
    """Enrol the units of a file, all or none."""
    rows = await _mapped_rows(file)
    errors = [row for row in rows if isinstance(row, RowError)]
    valid = [row for row in rows if isinstance(row, MappedRow)]
    if not errors:
        errors = await _enrol_units(valid, campaign_id, dry_run=dry_run, settings=settings)
    return ImportResult(len(rows), 0 if errors else len(valid), errors=errors)


async def _enrol_units(
    rows: list[MappedRow],
    campaign_id: str,
    *,
    dry_run: bool,
    settings: Settings,
) -> list[RowError]:
    """Return what is wrong with the rows; enrol their units unless something is."""
    from services.scoring.actions.campaigns import enrol_units
    from services.scoring.domain.register import UNIT_COLUMNS, unit_row
    from services.scoring.views.organisations import plan_enrolment

    units = [unit_row(_texts(row, UNIT_COLUMNS), line=row.line) for row in rows]
    async with (
        _opened("scoring", settings) as service,
        service.database.transaction(service.context) as tx,
    ):
        plan = await plan_enrolment(tx, campaign_id, units)
        if not dry_run and not plan.errors:
            await enrol_units(tx, campaign_id, units, by=IMPORTER)
    return list(plan.errors)


async def _mapped_rows(file: ImportFile) -> list[MappedRow | RowError]:
    try:
        table = await load_table(file.name, file.content)
        return list(map_rows(table, read_mapping(file.mapping)))
    except (InvalidFile, InvalidMapping) as error:
        raise Rejected(str(error), status=422) from error


def _texts(row: MappedRow, fields: Iterable[str]) -> dict[str, str]:
    return {field: row.text(field) for field in fields}


@asynccontextmanager
async def _opened(name: str, settings: Settings) -> AsyncIterator[Service]:
    service = build(name, settings)
    try:
        yield service
    finally:
        await service.database.close()
