"""`fengping clock`: the guard against jumps of the database's clock."""

from typing import Annotated

import typer

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import installed_settings
from shared.runtime.clock_guard import release_clock
from shared.storage.schema import SERVICES
from shared.storage.transaction import Transaction

clock = typer.Typer(no_args_is_help=True, help="The guard against jumps of the database's clock.")


@clock.command()
def release(
    by: Annotated[str, typer.Option(help="Name of the person who checked the clock.")],
    data: DataFolder = DATA,
) -> None:
    """Resume scheduled jobs after the database's clock was checked."""

    async def release_in(service: str, tx: Transaction) -> None:
        out.print(f"{service}: {await release_clock(tx, by=by)} released")

    run(in_each_service(installed_settings(data), SERVICES, release_in))
