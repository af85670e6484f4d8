"""`fengping export`: write a campaign's evidence archive."""

import os
from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import DATA, DataFolder, StepProgress, out, run
from services.cli.installation import installed_settings

PARTS = 3


def export(
    campaign: Annotated[str, typer.Argument(help="Id of the campaign, as J-2026.")],
    file: Annotated[
        Path | None, typer.Option("--to", help="The archive; default: evidence-CAMPAIGN.zip.")
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Write one archive with which anybody can check the campaign's scores offline.

    It has events, rules, units, ballots, seals, ledger and scores, and no personal data.
    """
    from services.cli.evidence import exporting_services, write_archive

    target = file or Path(f"evidence-{campaign}.zip")
    unfinished = target.with_name(target.name + ".partial")
    with StepProgress() as progress:

        def on_part(service: str, done: int) -> None:
            progress(f"export of {campaign}: {service}", done, PARTS)

        async def write() -> None:
            async with exporting_services(installed_settings(data)) as services:
                await write_archive(services, campaign, unfinished, on_part=on_part)

        run(write())
    os.replace(unfinished, target)
    out.print(f"{target}: check it with  python -m shared.verifier {target}")
