"""`fengping checkpoints`: print the daily line of each audit log."""

from datetime import date
from typing import Annotated

import typer

from services.cli.console import DATA, DataFolder, run
from services.cli.installation import build, installed_settings
from shared.foundation.settings import Settings
from shared.security.daily_checkpoints import DailyLine, list_daily_lines
from shared.storage.schema import SERVICES


def checkpoints(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days back.")] = 1,
    data: DataFolder = DATA,
) -> None:
    """Print the last checkpoint of each log on each day that is over: paper nobody can rewrite.

    Check such a line later with `fengping verify --line "…"` or on the page 存证.
    """
    settings = installed_settings(data)
    found = [line for service in SERVICES for line in run(_lines(service, settings, days))]
    for line in sorted(found, key=_day_of):
        typer.echo(line.text)


def _day_of(line: DailyLine) -> date:
    return line.day


async def _lines(service: str, settings: Settings, days: int) -> list[DailyLine]:
    built = build(service, settings)
    try:
        async with built.database.transaction() as tx:
            return await list_daily_lines(tx, service, limit=days)
    finally:
        await built.close()
