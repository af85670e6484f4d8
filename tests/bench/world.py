"""The servers and installations that measurements run on, and the figures that they return."""

import asyncio
import os
import platform
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from uuid import uuid4

from services.cli.demo_accounts import seed_accounts
from services.cli.demo_register import seed_register
from services.cli.installation import build
from services.simulate.client import Client
from services.simulate.units import UNITS
from shared.embedded import Stack
from shared.foundation.clock import REAL_CLOCK_DDL
from shared.foundation.settings import Settings
from shared.storage.connections import Database
from shared.storage.migrations import migrate
from tests.conftest import create_core, named, on_server, set_passwords_of, settings_for

_NUMBERS = count(1)
PASSWORD = "bench-of-many-words"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `goal` is None without a goal; `better` is the direction of
    improvement.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: str = ""

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "more" else self.value <= self.goal

    def row(self) -> str:
        value = f"{self.value:,.0f}" if abs(self.value) >= 1000 else f"{self.value:,.2f}"
        goal = "" if self.goal is None else f"{'≥' if self.better == 'more' else '≤'} {self.goal:g}"
        return f"| {self.name} | {value} {self.unit} | {goal} | {({True: 'met', False: 'MISSED', None: ''})[self.met]} |"


class World:
    """Real servers; every measurement gets its own database and topics. `quick` is the short form
    that CI runs.
    """

    def __init__(self, servers: Stack, folder: Path, *, quick: bool) -> None:
        self.servers, self.folder, self.quick = servers, folder, quick
        self._opened: list[Database] = []
        self._template = ""

    async def installation(self, *, template: str | None = None) -> Settings:
        """A fresh database (empty, or cloned) with settings that lead to it."""
        name = f"bench_{next(_NUMBERS)}"
        source = f" template {template}" if template else ""
        await on_server(
            self.servers.postgres.superuser_url, f"create database {name}{source} owner fengping"
        )
        settings = settings_for(self.servers, named(self.servers.postgres_url, name), self.folder)
        if not template:
            await on_server(settings.database_url, REAL_CLOCK_DDL)
        return settings

    async def migrated(self) -> str:
        """Name of a database with every service's schema, to be cloned."""
        if not self._template:
            self._template = f"bench_template_{next(_NUMBERS)}"
            await on_server(
                self.servers.postgres.superuser_url,
                f"create database {self._template} owner fengping",
            )
            url = named(self.servers.postgres_url, self._template)
            await migrate(url)
            await set_passwords_of(self.servers, url)
        return self._template

    async def core(self, settings: Settings, service: str) -> Database:
        """A schema with the core's tables only."""
        await create_core(settings, service)
        database = Database(settings.database_url, service)
        self._opened.append(database)
        return database

    @asynccontextmanager
    async def serving(self, what: str, settings: Settings) -> AsyncIterator[int]:
        """Run a server of `tests.bench.serving` in a separate process; yield its port once it
        answers.
        """
        port = free_port()
        environment = os.environ | {
            "FENGPING_ENVIRONMENT": "test",
            "FENGPING_SECOND_FACTOR": "waived",
            "FENGPING_SOURCE_CHECKS": "waived",
            "FENGPING_DATABASE_URL": settings.database_url,
            "FENGPING_REDIS_URL": settings.redis_url,
            "FENGPING_KAFKA_SERVERS": settings.kafka_servers,
            "FENGPING_KAFKA_SECURITY_PROTOCOL": settings.kafka_security_protocol,
            "FENGPING_TOPIC_PREFIX": settings.topic_prefix,
            "FENGPING_PORT": str(port),
            "FENGPING_INTERNAL_PORT": str(free_port()),
            "FENGPING_TOPIC_PARTITIONS": str(settings.topic_partitions),
            "FENGPING_BALLOT_RELEASE_MIN": str(settings.ballot_release_min),
            "FENGPING_DATA_FOLDER": str(self.folder),
            "FENGPING_KEYS_FOLDER": str(settings.keys_folder),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.serving", what, env=environment
        )
        try:
            await _answering(port, process)
            yield port
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    @asynccontextmanager
    async def intake(self) -> AsyncIterator["Product"]:
        """Intake alone, on an installation whose campaign all four have published before."""
        settings = await self.installation(template=await self.migrated())
        async with self.product(settings) as product:
            pass
        async with self.serving("intake", settings) as port:
            yield replace(product, port=port)

    @asynccontextmanager
    async def product(self, settings: Settings | None = None) -> AsyncIterator["Product"]:
        """All four services in one process, with the demo's accounts and a published campaign."""
        settings = settings or await self.installation(template=await self.migrated())
        await seed_register(settings.database_url)
        intake = Database(settings.database_url, "intake", pool_size=2)
        async with intake.transaction(
            build("intake", settings.model_copy(update={"data_folder": self.folder})).context
        ) as tx:
            await seed_accounts(
                tx, password=PASSWORD, units=[(body.unit_id, body.name) for body in UNITS]
            )
        await intake.close()
        async with (
            self.serving("product", settings) as port,
            Client(f"http://127.0.0.1:{port}") as client,
        ):
            office = await client.sign_in("pingyiban", PASSWORD)
            units = [
                {
                    "unit_id": b.unit_id,
                    "name": b.name,
                    "category": b.category,
                }
                for b in UNITS
            ]
            campaign = await office.publish_campaign(
                {"scheme": "J", "year": 2026, "units": units}, key=uuid4()
            )
            while not await office.campaigns():
                await asyncio.sleep(0.05)
            yield Product(
                port, settings.database_url, office.session_token, campaign["campaign_id"]
            )

    async def close(self) -> None:
        for database in self._opened:
            await database.close()


@dataclass(frozen=True, slots=True)
class Product:
    """A running product: where it listens, its database, the token of somebody signed in, the id of
    its campaign.
    """

    port: int
    database_url: str
    token: str
    campaign_id: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answering(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, "the server ended before it answered"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)


def machine() -> str:
    """What this was measured on."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(
        (line.split(":", 1)[1].strip() for line in processors if line.startswith("model name")), "?"
    )
    cores = sum(line.startswith("processor") for line in processors)
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return f"{cores} cores ({cpu}), {memory} GB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
