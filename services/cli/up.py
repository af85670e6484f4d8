"""All four services on one port, in one process, on servers this process starts itself: the
embedded default.

The same `Service` objects that `fengping serve NAME` runs alone; what differs from a cluster is
settings only.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn

from services.simulate.demo import Pace
from services.simulate.people import BODIES
from shared.embedded import SetupError, Stack
from shared.foundation import telemetry
from shared.foundation.clock import SET_VIRTUAL_CLOCK, VIRTUAL_CLOCK_DDL, real_now
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging import create_topics
from shared.runtime.one_port import SinglePortApp
from shared.runtime.service import Service, tune_gc
from shared.storage.connections import Database
from shared.storage.migrations import migrate
from shared.storage.schema import SERVICES

Told = Callable[[str, int, int], None]
"""Progress: what is being done, steps done, steps in all."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What makes a demo installation: one password for its accounts, kept in the data folder."""

    password: str

    @staticmethod
    def of(data: Path) -> "Demo":
        file = data / "demo.json"
        if not file.exists():
            data.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as handle:
                json.dump({"password": "fp-" + secrets.token_hex(6)}, handle)
        return Demo(json.loads(file.read_text())["password"])


@dataclass(frozen=True, slots=True)
class Staged(Demo):
    """A demo that is ready to be played: its accounts are there, its legal time runs."""

    clock: "DemoClock"


def settings_of(stack: Stack, *, host: str, port: int, demo: bool) -> Settings:
    """Settings of an embedded installation; variables of the environment override what is not its
    own.
    """
    return Settings(
        environment="demo" if demo else os.environ.get("FENGPING_ENVIRONMENT", "production"),  # type: ignore[arg-type]
        database_url=stack.postgres_url,
        redis_url=stack.redis_url,
        kafka_servers=",".join(stack.kafka_servers),
        data_folder=stack.data,
        host=host,
        port=port,
    )


def check_port(host: str, port: int) -> None:
    """Raise SetupError when the port is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or "cannot be used"
            raise SetupError(
                f"port {port} on {host}: {reason.lower()}",
                "choose another with --port N, or stop who uses it",
            ) from error


def build(name: str, settings: Settings) -> Service:
    """One service, ready to be served."""
    service: Service = import_module(f"services.{name}.app").build(settings)
    return service


async def prepare(settings: Settings, *, demo: bool) -> None:
    """Bring schemas and topics to their newest version; a demo gets virtual time."""
    if demo:
        connection = await asyncpg.connect(settings.database_url)
        try:
            await connection.execute(VIRTUAL_CLOCK_DDL)
        finally:
            await connection.close()
    await migrate(settings.database_url)
    await create_topics(settings)


async def stage(settings: Settings, demo: Demo) -> Staged:
    """Make the demo's accounts and let its legal time run; a second start changes nothing but what
    a kill left unfinished.
    """
    clock = await DemoClock.started(
        settings.database_url
    )  # First of all: what is written before it would lie in its future.
    seed_accounts = import_module("services.cli.demo_accounts").seed_accounts
    database = Database(settings.database_url, "intake", pool_size=2)
    try:
        async with database.transaction() as tx:
            await seed_accounts(
                tx, password=demo.password, units=[(body.unit_id, body.name) for body in BODIES]
            )
    finally:
        await database.close()
    return Staged(demo.password, clock)


_LAST_LEGAL = "greatest({})".format(
    ", ".join(
        f"(select max(occurred_at) from {name}.outbox), (select max(at) from {name}.audit)"
        for name in SERVICES
    )
)
_LAST_WRITTEN = "greatest({})".format(
    ", ".join(f"(select max(created_at) from {name}.outbox)" for name in SERVICES)
)


_CLOCK = "select anchor_virtual, anchor_real, rate from public.virtual_clock"
_RUN_AT = """
update public.virtual_clock set anchor_virtual = public.app_now(), anchor_real = statement_timestamp(), rate = $1
where anchor_virtual + (statement_timestamp() - anchor_real) * rate < statement_timestamp()
"""


@dataclass(slots=True)
class DemoClock:
    """Legal time of a demo installation: from four weeks ago it runs fast until it meets the real
    time.
    """

    url: str
    pace: Pace

    @staticmethod
    async def started(url: str) -> "DemoClock":
        """The clock, running. A second start leaves it alone, unless a demo was killed on the way:
        then it goes on from there.
        """
        connection = await asyncpg.connect(url)
        try:
            row = await connection.fetchrow(_CLOCK)
            if row is None:
                pace = Pace.starting(real_now())
            else:
                last = await connection.fetchrow(
                    f"select {_LAST_LEGAL} as legal, {_LAST_WRITTEN} as written"
                )
                pace = Pace(*row).again(
                    real_now(), last_written_at=last["written"], last_legal=last["legal"]
                )
            if row is None or pace != Pace(*row):
                await connection.execute(SET_VIRTUAL_CLOCK, pace.anchor, pace.rate, True)
            return DemoClock(url, Pace(*await connection.fetchrow(_CLOCK)))
        finally:
            await connection.close()

    async def run_at(self, rate: float) -> None:
        """Let legal time run at this rate from now on; nothing changes once it has met the real
        time.
        """
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_RUN_AT, rate)
            self.pace = Pace(*await connection.fetchrow(_CLOCK))
        finally:
            await connection.close()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[list[Service]]:
    """All four services, listening on the settings' host and port; left, they have stopped."""
    services = [build(name, settings) for name in SERVICES]
    server = Server(SinglePortApp(services), settings)
    task = asyncio.create_task(server.serve())
    try:
        await _started(server, task)
        yield services
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


async def _started(server: "Server", task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the web server ended before it started")
        await asyncio.sleep(0.02)


class Server(uvicorn.Server):
    """uvicorn inside a program that handles signals itself."""

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                lifespan="on",
                access_log=False,
                log_config=None,
                loop="none",
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies or "",
                timeout_graceful_shutdown=20,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        tune_gc()

    def capture_signals(self) -> Any:
        """Signals belong to the program, which stops everything in order."""
        return nullcontext()


def stop_event() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event


async def up(
    data: Path,
    *,
    host: str,
    port: int,
    demo: bool,
    told: Told,
    ready: Callable[[Settings, Demo | None], None],
    play: Callable[[Settings, Staged], Any] | None = None,
) -> None:
    """Start servers and services, play the demo if asked, and stay until Ctrl-C; then stop
    everything this process started.
    """
    check_port(host, port)
    stopping = stop_event()
    stack = Stack(data)
    async with AsyncExitStack() as exits:
        await exits.enter_async_context(stack.running(told))
        settings = settings_of(stack, host=host, port=port, demo=demo)
        told("schemas and topics", 0, 1)
        await prepare(settings, demo=demo)
        shown = await stage(settings, Demo.of(data)) if demo else None
        told("schemas and topics", 1, 1)
        await exits.enter_async_context(running(settings))
        keeping = [asyncio.create_task(stack.supervise())]
        ready(settings, shown)
        if shown and play:
            keeping.append(asyncio.create_task(_perform(play(settings, shown))))
        await _until_stopped(stopping, keeping)


async def _perform(play: Awaitable[Any]) -> None:
    """A demo that fails ends alone: people may be at work in the installation that it was played
    in.
    """
    try:
        await play
    except Exception as error:
        log.error("demo ended early", **telemetry.describe(error))


async def _until_stopped(stopping: asyncio.Event, tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for the stop, or for a task that failed; a demo that ended is no reason to stop."""
    waiting = asyncio.create_task(stopping.wait())
    pending = {waiting, *tasks}
    try:
        while waiting in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
