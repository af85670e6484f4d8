"""The `fengping` command: up · serve · migrate · simulate · import · replay · dead-letters · verify ·
clock · contracts.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.embedded import SetupError
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import configure_logging
from shared.messaging import TopicMismatch
from shared.storage.connections import UnsafeDatabase
from shared.storage.schema import SERVICES

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fengping 风评: conduct appraisal.",
)
out = Console(stderr=False)
err = Console(stderr=True)

DataFolder = Annotated[Path, typer.Option("--data", help="Folder of the embedded servers' data.")]
DATA = Path(".fengping")


def main() -> None:
    """Entry point: known troubles become one sentence and what to do."""
    try:
        cli()
    except (SetupError, TopicMismatch, UnsafeDatabase) as error:
        err.print(f"[bold red]fengping:[/] {error}")
        sys.exit(1)
    except Rejected as error:
        err.print(f"[bold red]fengping:[/] {error.sentence}")
        sys.exit(2)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class Steps:
    """Progress of a start, step by step."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.completed}/{task.total}"),
        )
        self._progress = Progress(*columns, console=out)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Steps":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._progress.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)


# ── running ───────────────────────────────────────────────────────────────────────────────────────


@cli.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the pages and the API.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: DataFolder = DATA,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Play a demo campaign on a fast clock.")
    ] = False,
) -> None:
    """Start everything on this machine: PostgreSQL, Valkey, Kafka and all four services on one
    port.
    """
    from services.cli.up import Demo, Staged
    from services.cli.up import up as start
    from services.simulate.demo import play

    configure_logging(os.environ.get("FENGPING_LOG_LEVEL", "WARNING"))
    with Steps() as steps:

        def ready(settings: Settings, shown: Demo | None) -> None:
            steps.close()
            greet(settings, shown)

        def played(settings: Settings, staged: Staged) -> Coroutine[Any, Any, None]:
            return play(settings, staged.password, staged.clock, out)

        run(
            start(
                data.absolute(),
                host=host,
                port=port,
                demo=demo,
                told=steps,
                ready=ready,
                play=played,
            )
        )
    out.print("stopped; all data is kept in", str(data))


def greet(settings: Settings, shown: Any) -> None:
    """Where it is and how to get in."""
    address = f"http://{settings.host}:{settings.port}"
    out.print(
        f"\n[bold green]Fengping runs at[/] [link={address}]{address}[/link]   public: {address}/p/   Ctrl-C stops"
    )
    if shown:
        from services.simulate.people import DEMO_ACCOUNTS

        table = Table(
            "account",
            "role",
            "start here",
            title=f"demo accounts, password {shown.password}",
            title_justify="left",
        )
        for person in DEMO_ACCOUNTS:
            table.add_row(
                person.name, f"{person.role.label} {person.role}", f"{address}{person.start}"
            )
        out.print(table)


@cli.command()
def serve(name: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")]) -> None:
    """Run one service against the servers named in the environment (FENGPING_DATABASE_URL …)."""
    from services.cli.up import Server, build

    if name not in SERVICES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(SERVICES)}")
    settings = Settings()
    configure_logging(settings.log_level)
    if settings.environment == "test":
        failpoint.arm(os.environ.get("FENGPING_FAILPOINTS", ""))

    async def serving() -> None:
        from services.cli.up import stop_event

        server = Server(build(name, settings).app, settings)
        stopping = stop_event()
        task = asyncio.create_task(server.serve())
        await asyncio.wait(
            {task, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        server.should_exit = True
        await task
        if not server.started:
            sys.exit(3)

    run(serving())


@cli.command()
def migrate(data: DataFolder = DATA) -> None:
    """Bring every schema and topic to its newest version. Safe to run twice."""
    from shared.messaging import create_topics
    from shared.storage.migrations import migrate as bring

    settings = here(data)
    for service, version in run(bring(settings.database_url)).items():
        out.print(f"{service}: {version}")
    out.print("topics made:", ", ".join(run(create_topics(settings))) or "none missing")


def here(data: Path) -> Settings:
    """Settings of the running installation: the environment's when it names a database, else those
    of the data folder.
    """
    from services.cli.up import settings_of
    from shared.embedded import Stack

    if "FENGPING_DATABASE_URL" in os.environ or not (data / "ports.json").exists():
        return Settings()
    return settings_of(
        Stack(data.absolute()), host="127.0.0.1", port=8080, demo=(data / "demo.json").exists()
    )


@cli.command()
def simulate(
    url: Annotated[
        str, typer.Option(help="The installation to load; your own.")
    ] = "http://127.0.0.1:8080",
    rate: Annotated[
        float, typer.Option(help="Operations a second; 0: as fast as they are answered.")
    ] = 20.0,
    count: Annotated[int, typer.Option(help="Operations in all.")] = 1000,
    seed: Annotated[
        int, typer.Option(help="The same seed sends the same things under the same keys.")
    ] = 1,
    ledger: Annotated[
        Path, typer.Option(help="What was sent and acknowledged; a run goes on where it ends.")
    ] = Path("load.jsonl"),
    password: Annotated[
        str,
        typer.Option(
            envvar="FENGPING_DEMO_PASSWORD", help="Of the demo's accounts; else the data folder's."
        ),
    ] = "",
    mine: Annotated[
        bool, typer.Option("--i-own-this-host", help="Allow a host that is not this machine.")
    ] = False,
    data: DataFolder = DATA,
) -> None:
    """Register complaints, cast ballots and hand in visits over HTTP, and keep account of every
    acknowledgement.
    """
    from services.cli.up import Demo
    from services.simulate.client import RequestRejected, Unanswered
    from services.simulate.load import ForeignHost, Load

    if not password and not (data / "demo.json").exists():
        raise typer.BadParameter(
            "the accounts of a demo are needed: --data FOLDER of one, or --password",
            param_hint="--password",
        )
    load = Load(
        base_url=url,
        password=password or Demo.of(data).password,
        ledger=ledger,
        seed=seed,
        rate=rate,
        operations=count,
        mine=mine,
    )
    try:
        tally = run(load.run())
    except (ForeignHost, RequestRejected, Unanswered) as trouble:
        raise typer.BadParameter(str(trouble), param_hint="--url") from trouble
    table = Table(*(name.replace("_", " ") for name in tally.__dataclass_fields__))
    table.add_row(
        *(f"{getattr(tally, name):,.1f}".removesuffix(".0") for name in tally.__dataclass_fields__)
    )
    out.print(table)
    if tally.unknown or tally.refused:
        raise typer.Exit(1)


accounts = typer.Typer(no_args_is_help=True, help="Who may sign in.")
cli.add_typer(accounts, name="accounts")


@accounts.command()
def add(
    name: Annotated[str, typer.Argument(help="What they sign in with.")],
    role: Annotated[Role, typer.Option(help="What they are here to do.")],
    display_name: Annotated[str, typer.Option(help="What pages show.")] = "",
    unit: Annotated[
        str | None, typer.Option(help="Code of the unit they act for (handler, unit_head).")
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Make an account, such as the first administrator's. The password is asked for, twice."""
    from services.intake.actions.accounts import create_account

    password = typer.prompt("password", hide_input=True, confirmation_prompt=True)

    async def make(_: str, tx: Any, __: Any) -> None:
        made = await create_account(
            tx,
            name=name,
            display_name=display_name,
            role=role,
            password=password,
            unit_id=unit,
            by="system",
        )
        out.print(f"{made.name} may sign in as {made.role.label}")

    run(in_each(here(data), ("intake",), make))


@cli.command("import")
def import_(
    kind: Annotated[str, typer.Argument(help="complaints, ballots, visits or units.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or Excel.")],
    mapping: Annotated[
        Path,
        typer.Option(
            "--map", exists=True, dir_okay=False, help="Which column is what; see deploy/imports."
        ),
    ],
    campaign: Annotated[str, typer.Option(help="Id of the campaign, as j-2026.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taken and refused.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Where to write the refused rows; default: beside the file.")
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Take a file of another system. Importing twice changes nothing; a killed import goes on when
    started again.
    """
    from services.cli.importing import KINDS, File, take

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(KINDS)}")
    with Steps() as steps:

        def told(done: int, total: int) -> None:
            steps(f"{kind} of {file.name}", done, total)

        ended = run(
            take(
                kind,
                File.of(file, mapping),
                campaign_id=campaign,
                dry_run=dry_run,
                settings=here(data),
                told=told,
            )
        )
    verb = "would be taken" if dry_run else "taken"
    out.print(
        f"{ended.total} rows: {ended.done} {verb}, {ended.repeated} in already, {len(ended.mistakes)} refused"
    )
    if ended.mistakes:
        report = report or file.with_suffix(".refused.csv")
        report.write_bytes(ended.report())
        out.print(f"refused rows with line, column and reason: {report}")
        raise typer.Exit(2)


# ── keeping it right ──────────────────────────────────────────────────────────────────────────────


@cli.command("dead-letters")
def dead_letters(data: DataFolder = DATA) -> None:
    """List pending dead letters and events that wait for a predecessor."""
    from shared.messaging.store import buffered_events
    from shared.messaging.store import dead_letters as rows

    columns = (
        "id",
        "topic",
        "type",
        "aggregate",
        "version",
        "reason",
        "detail",
        "attempts",
        "dead_lettered_at",
    )
    table = Table("service", *columns)

    async def look(service: str, tx: Any, _: Any) -> None:
        for dead_letter in await rows.pending(tx):
            table.add_row(service, *(str(getattr(dead_letter, name)) for name in columns))
        out.print(f"{service}: {await buffered_events.count(tx)} buffered")

    run(in_each(here(data), SERVICES, look))
    out.print(table)


@cli.command()
def replay(
    service: Annotated[str, typer.Argument(help="Whose dead letters.")],
    ids: Annotated[
        list[int] | None, typer.Argument(help="Only these; all when none is given.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who asks, for the audit log.")] = "operator",
    data: DataFolder = DATA,
) -> None:
    """Put dead letters back after their cause was removed. Twice changes nothing."""
    from services.cli.up import build
    from shared.messaging import dead_letters

    made = build(service, here(data))
    applied, failed = run(
        dead_letters.replay(made.database, made.handlers, made.context, by=by, only=ids or None)
    )
    out.print(f"{applied} applied, {failed} still pending")


clock = typer.Typer(no_args_is_help=True, help="The guard against jumps of the database's clock.")
cli.add_typer(clock, name="clock")


@clock.command()
def release(
    by: Annotated[str, typer.Option(help="Who checked the clock.")], data: DataFolder = DATA
) -> None:
    """Let due work go on after the database's clock was checked."""
    from shared.runtime.clock_guard import release_clock

    async def release_in(service: str, tx: Any, _: Any) -> None:
        out.print(f"{service}: {await release_clock(tx, by=by)} released")

    run(in_each(here(data), SERVICES, release_in))


@cli.command()
def verify(data: DataFolder = DATA) -> None:
    """Check the audit logs against their signed checkpoints, and every running score against a
    recount from the events.
    """
    from services.scoring.actions.recounts import verify_scores
    from shared.security import audit
    from shared.security.keyring import KeyRing

    settings = here(data)
    key = KeyRing.load_or_create(settings.keyring).signing_key("audit")
    wrong: list[str] = []

    async def look(service: str, tx: Any, context: Any) -> None:
        violation = await audit.verify_log(tx, audit.signer_for(service, key).verifier)
        out.print(f"{service}: audit log {violation.sentence if violation else 'complete'}")
        wrong.extend([violation.sentence] if violation else [])
        if service == "scoring":
            differing = await verify_scores(tx)
            out.print(f"scoring: {len(differing)} scores differ from the recount")
            wrong.extend(map(str, differing))

    run(in_each(settings, SERVICES, look))
    if wrong:
        raise typer.Exit(1)


async def in_each(
    settings: Settings, services: tuple[str, ...], work: Callable[[str, Any, Any], Awaitable[None]]
) -> None:
    """`work(service, tx, context)` in one transaction of each service."""
    from services.cli.up import build

    for name in services:
        made = build(name, settings)
        async with made.database.transaction(made.context) as tx:
            await work(name, tx, made.context)
        await made.database.close()


@cli.command()
def contracts(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("contracts"),
) -> None:
    """Write the event contracts: JSON Schema of every event and one AsyncAPI document."""
    from shared.messaging.contracts import write

    out.print(f"{len(write(folder))} files in {folder}")


if __name__ == "__main__":
    main()
