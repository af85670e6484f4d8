"""`fengping up`: start everything on this machine."""

import os
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.console import DATA, DataFolder, StepProgress, out, run
from services.cli.demo import DemoInstallation
from services.cli.system_user import leave_root
from services.simulate.accounts import DEMO_ACCOUNTS
from shared.foundation.settings import Settings
from shared.foundation.telemetry import configure_logging


def up(
    port: Annotated[int, typer.Option(help="Port of the pages and the API.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    internal_port: Annotated[
        int | None,
        typer.Option(
            help="Port of /readyz and /metrics; default: the next one.",
            envvar="FENGPING_INTERNAL_PORT",
        ),
    ] = None,
    data: DataFolder = DATA,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Play a demo campaign on a fast clock.")
    ] = False,
) -> None:
    """Start PostgreSQL, Valkey, Kafka and all four services on one port."""
    from services.cli.up import up as start
    from services.simulate.demo import run_demo

    leave_root(data.absolute())
    configure_logging(os.environ.get("FENGPING_LOG_LEVEL", "WARNING"))

    def play(settings: Settings, installation: DemoInstallation) -> Coroutine[Any, Any, None]:
        return run_demo(settings, installation.password, installation.clock, out)

    with StepProgress() as progress:

        def greet(settings: Settings, installation: DemoInstallation | None) -> None:
            progress.close()
            print_addresses(settings)
            if installation:
                print_accounts(settings, installation.password)

        serving = start(
            data.absolute(),
            host=host,
            port=port,
            internal_port=port + 1 if internal_port is None else internal_port,
            demo=demo,
            on_progress=progress,
            on_ready=greet,
            run_demo=play,
        )
        run(serving)
    out.print("stopped; all data is kept in", str(data))


def _address(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def print_addresses(settings: Settings) -> None:
    """Print where the installation is."""
    address = _address(settings)
    out.print(
        f"\n[bold green]Fengping runs at[/] [link={address}]{address}[/link]"
        f"   public: {address}/p/   Ctrl-C stops\n"
        f"health and metrics: http://{settings.internal_host}:{settings.health_port}"
    )


def print_accounts(settings: Settings, password: str) -> None:
    """Print the demo accounts."""
    table = Table(
        "account",
        "role",
        "start here",
        title=f"demo accounts, password {password}",
        title_justify="left",
    )
    for account in DEMO_ACCOUNTS:
        role = f"{account.role.label} {account.role}"
        table.add_row(account.name, role, f"{_address(settings)}{account.start}")
    out.print(table)
