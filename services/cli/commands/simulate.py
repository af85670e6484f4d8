"""`fengping simulate`: put an installation under load."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli.console import DATA, DataFolder, out, run
from services.cli.demo import demo_password
from services.simulate.errors import RequestRejected, Unanswered
from services.simulate.load import ForeignHost, Load
from services.simulate.load_run import LoadSummary


def simulate(
    url: Annotated[
        str, typer.Option(help="The installation to load; your own.")
    ] = "http://127.0.0.1:8080",
    rate: Annotated[
        float, typer.Option(help="Operations a second; 0: as fast as they are answered.")
    ] = 20.0,
    count: Annotated[int, typer.Option(help="Operations in total.")] = 1000,
    seed: Annotated[
        int, typer.Option(help="The same seed sends the same requests under the same keys.")
    ] = 1,
    ledger: Annotated[
        Path, typer.Option(help="What was sent and acknowledged; a run continues from it.")
    ] = Path("load.jsonl"),
    password: Annotated[
        str,
        typer.Option(
            envvar="FENGPING_DEMO_PASSWORD",
            help="Password of the demo accounts; default: that of the data folder.",
        ),
    ] = "",
    mine: Annotated[
        bool, typer.Option("--i-own-this-host", help="Allow a host that is not this machine.")
    ] = False,
    data: DataFolder = DATA,
) -> None:
    """Register complaints, submit ballots and visits over HTTP, and account for each of them."""
    load = Load(
        base_url=url,
        password=password or _stored_password(data),
        ledger=ledger,
        seed=seed,
        rate=rate,
        operations=count,
        mine=mine,
    )
    try:
        summary = run(load.run())
    except (ForeignHost, RequestRejected, Unanswered) as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    print_summary(summary)
    if summary.unknown or summary.refused:
        raise typer.Exit(1)


def _stored_password(data: Path) -> str:
    if not (data / "demo.json").exists():
        raise typer.BadParameter(
            "the accounts of a demo are needed: --data FOLDER of one, or --password",
            param_hint="--password",
        )
    return demo_password(data)


def print_summary(summary: LoadSummary) -> None:
    """Print how a load ended."""
    figures = asdict(summary)
    headings = [name.replace("_", " ") for name in figures]
    cells = [f"{figure:,.1f}".removesuffix(".0") for figure in figures.values()]
    table = Table(*headings)
    table.add_row(*cells)
    out.print(table)
