"""`fengping contracts`: export the event contracts."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import out
from shared.messaging.contracts import write


def contracts(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("contracts"),
) -> None:
    """Write the JSON Schema of every event and one AsyncAPI document."""
    out.print(f"{len(write(folder))} files in {folder}")
