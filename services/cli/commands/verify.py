"""`fengping verify`: check audit logs, the inputs of scores, and the scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import DATA, DataFolder, err, out, run
from services.cli.installation import installed_settings

if TYPE_CHECKING:
    from services.cli.verification import Outside
    from shared.foundation.settings import Settings
    from shared.security.daily_checkpoints import DailyLine


KAFKA = "kafka"


def verify(
    checkpoints: Annotated[
        str,
        typer.Option(
            metavar="FILE|kafka",
            help="Signed checkpoints kept outside: a file of them, or `kafka` for those in its "
            "topic; default: those that the witness has.",
        ),
    ] = "",
    line: Annotated[
        list[str] | None,
        typer.Option(help="A printed daily line, to compare with its log; may be repeated."),
    ] = None,
    receipt: Annotated[
        str, typer.Option(help="Number of a complaint: prove that its registration is in the log.")
    ] = "",
    data: DataFolder = DATA,
) -> None:
    """Check audit logs, and recompute every score from inputs that their owners sealed.

    Prints each difference by name; the exit status is 1 if there is any.
    """
    if receipt:
        _prove(data, receipt)
        return
    differences = run(_print_findings(data, checkpoints, _lines(line or [])))
    out.print(f"{differences} differences")
    if differences:
        raise typer.Exit(1)


def _prove(data: Path, number: str) -> None:
    """Print where the registration of a complaint stands in the log; exit 1 if it is not proved."""
    from services.cli.verification import registration_proof

    is_proved, sentence = run(registration_proof(installed_settings(data), number))
    out.print(sentence, markup=False, highlight=False)
    if not is_proved:
        raise typer.Exit(1)


def _lines(typed: list[str]) -> "list[DailyLine]":
    from shared.security.daily_checkpoints import MalformedLine, read_line

    try:
        return [read_line(each) for each in typed]
    except MalformedLine as error:
        raise typer.BadParameter(str(error), param_hint="--line") from error


async def _outside(settings: "Settings", source: str) -> "Outside | None":
    """Return the checkpoints of a source; None if none is named."""
    from services.cli.verification import ask_kafka, kept_in_file
    from shared.verifier.notes import MalformedNote

    if not source:
        return None
    try:
        if source == KAFKA:
            return await ask_kafka(settings)
        return kept_in_file(Path(source))
    except (MalformedNote, UnicodeDecodeError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--checkpoints") from error


async def _print_findings(data: Path, checkpoints: str, lines: "list[DailyLine]") -> int:
    from services.cli.verification import verify_installation
    from shared.verifier.findings import Difference

    settings = installed_settings(data)
    outside = await _outside(settings, checkpoints)
    differences = 0
    with err.status("verifying") as status:
        findings = verify_installation(settings, outside, lines=lines, on_progress=status.update)
        async for finding in findings:
            is_difference = isinstance(finding, Difference)
            differences += is_difference
            text = str(finding) if is_difference else f"note: {finding.sentence}"
            out.print(text, markup=False, soft_wrap=True, highlight=False)
    return differences
