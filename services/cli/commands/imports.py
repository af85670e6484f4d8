"""`fengping import`: import a file of another system."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import DATA, DataFolder, StepProgress, out, run
from services.cli.installation import installed_settings
from shared.appraisal.imports import KINDS

if TYPE_CHECKING:
    from services.cli.importing import ImportResult

HAS_REJECTED_ROWS = 2
"""Exit status of an import that rejected rows."""


def import_file(
    kind: Annotated[str, typer.Argument(help="complaints, ballots, visits or units.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or Excel.")],
    mapping: Annotated[
        Path,
        typer.Option(
            "--map",
            exists=True,
            dir_okay=False,
            help="Mapping of columns; see deploy/imports.",
        ),
    ],
    campaign: Annotated[str, typer.Option(help="Id of the campaign, as J-2026.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would be imported and rejected.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Where to write rejected rows; default: beside the file.")
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Import a file. Importing twice changes nothing; a killed import continues when repeated."""
    from services.cli.importing import ImportFile, import_rows

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(KINDS)}")
    with StepProgress() as progress:

        def on_progress(done: int, total: int) -> None:
            progress(f"{kind} of {file.name}", done, total)

        importing = import_rows(
            kind,
            ImportFile.read(file, mapping),
            campaign_id=campaign,
            dry_run=dry_run,
            settings=installed_settings(data),
            on_progress=on_progress,
        )
        result = run(importing)
    _print_result(result, dry_run=dry_run)
    if result.errors:
        _write_report(result, report or file.with_suffix(".rejected.csv"))
        raise typer.Exit(HAS_REJECTED_ROWS)


def _print_result(result: "ImportResult", *, dry_run: bool) -> None:
    verb = "would be imported" if dry_run else "imported"
    out.print(
        f"{result.total} rows: {result.done} {verb}, {result.repeated} imported before,"
        f" {len(result.errors)} rejected"
    )


def _write_report(result: "ImportResult", file: Path) -> None:
    file.write_bytes(result.report())
    out.print(f"rejected rows with line, column and reason: {file}")
