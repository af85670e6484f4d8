"""`fengping import`: files of other systems, taken by the same actions that the API calls, on the
database of an installation.

The events leave with the installation's relays, now or when it is next started.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from services.cli.up import build
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    RowError,
    map_rows,
    read_mapping,
    read_table,
    report_csv,
)
from shared.appraisal.labels import Role
from shared.foundation.settings import Settings
from shared.security.policies import Account

IMPORTER = Account(id=UUID(int=0), name="import", display_name="导入", role=Role.OFFICE)
"""Who imports by command: whoever may use the machine."""
KINDS = ("complaints", "ballots", "visits", "units")


@dataclass(slots=True)
class Outcome:
    """How an import ended: rows taken now, in already, refused with line, column and reason."""

    total: int
    done: int
    repeated: int = 0
    mistakes: list[RowError] = field(default_factory=list)

    def report(self) -> bytes:
        """The refused rows as CSV."""
        return report_csv(
            [(mistake.line, mistake.column, mistake.reason) for mistake in self.mistakes]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to import, read: its name decides whether it is CSV or a workbook; `mapping` is the
    mapping's text.
    """

    name: str
    content: bytes
    mapping: str

    @staticmethod
    def of(file: Path, mapping: Path) -> "File":
        return File(
            name=file.name, content=file.read_bytes(), mapping=mapping.read_text(encoding="utf-8")
        )


async def take(
    kind: str,
    file: File,
    *,
    campaign_id: str,
    dry_run: bool,
    settings: Settings,
    told: Callable[[int, int], None],
) -> Outcome:
    """Import a file. Twice changes nothing; killed, it goes on where it was when started again.

    Raises Rejected with what to change in the file or the mapping.
    """
    if kind == "units":
        return await _take_units(file, campaign_id=campaign_id, dry_run=dry_run, settings=settings)
    from services.intake.actions import imports

    job = imports.read_job(
        file_name=file.name,
        content=file.content,
        mapping=file.mapping,
        campaign_id=campaign_id,
        dry_run=dry_run,
        by=IMPORTER,
    )
    if job.mapping.kind != kind:
        raise Rejected(
            f"映射文件用于 {job.mapping.kind}，与命令中的 {kind} 不一致",
            status=422,
            field="mapping",
        )
    service = build("intake", settings)
    try:
        async with service.database.transaction(service.context) as tx:
            import_id = await imports.start_import(tx, job)

        def report(progress: imports.ImportProgress) -> None:
            told(progress.processed, progress.total)

        progress = await imports.run_import(
            service.database, service.context, import_id, job, on_progress=report
        )
    finally:
        await service.database.close()
    return Outcome(progress.total, progress.done, progress.repeated, progress.errors)


async def _take_units(
    file: File, *, campaign_id: str, dry_run: bool, settings: Settings
) -> Outcome:
    """Enter a register of units, whole or not at all: a campaign with half its units is worse than
    none.
    """
    from services.scoring.actions.campaigns import register_units
    from services.scoring.domain.register import UNIT_COLUMNS, unit_row

    try:
        rows = list(map_rows(read_table(file.name, file.content), read_mapping(file.mapping)))
    except (InvalidFile, InvalidMapping) as error:
        raise Rejected(str(error), status=422) from error
    mistakes = [row for row in rows if isinstance(row, RowError)]
    units = [
        unit_row({field: row.text(field) for field in UNIT_COLUMNS})
        for row in rows
        if not isinstance(row, RowError)
    ]
    if mistakes or dry_run:
        return Outcome(len(rows), 0 if mistakes else len(units), mistakes=mistakes)
    service = build("scoring", settings)
    try:
        async with service.database.transaction(service.context) as tx:
            await register_units(tx, campaign_id, units, by=IMPORTER)
    finally:
        await service.database.close()
    return Outcome(len(rows), len(units))
