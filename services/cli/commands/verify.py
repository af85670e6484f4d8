"""`fengping verify`: check audit logs, the inputs of scores, and the scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import DATA, DataFolder, err, out, run
from services.cli.installation import installed_settings

if TYPE_CHECKING:
    from services.cli.verification import Outside


def verify(
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Signed checkpoints kept outside; default: those that the witness has.",
        ),
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Check audit logs, and recompute every score from inputs that their owners sealed.

    Prints each difference by name; the exit status is 1 if there is any.
    """
    differences = run(_print_findings(data, _outside(checkpoints)))
    out.print(f"{differences} differences")
    if differences:
        raise typer.Exit(1)


def _outside(file: Path | None) -> "Outside | None":
    from services.cli.verification import Outside
    from shared.verifier.notes import MalformedNote, read_notes

    if file is None:
        return None
    try:
        return Outside(read_notes(file.read_text(encoding="utf-8")), str(file))
    except (MalformedNote, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint="--checkpoints") from error


async def _print_findings(data: Path, outside: "Outside | None") -> int:
    from services.cli.verification import verify_installation
    from shared.verifier.findings import Difference

    settings = installed_settings(data)
    differences = 0
    with err.status("verifying") as status:
        async for finding in verify_installation(settings, outside, on_progress=status.update):
            is_difference = isinstance(finding, Difference)
            differences += is_difference
            text = str(finding) if is_difference else f"note: {finding.sentence}"
            out.print(text, markup=False, soft_wrap=True, highlight=False)
    return differences
