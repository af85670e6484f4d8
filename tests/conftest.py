"""Fixtures: real servers once per session; a fresh database, topics and cache per test."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.cli.installation import share_admin_password
from shared.embedded import Stack
from shared.foundation import tracing
from shared.foundation.clock import SET_VIRTUAL_CLOCK, VIRTUAL_CLOCK_DDL, real_now
from shared.foundation.settings import Settings
from shared.messaging.event_keys import KeyFolders
from shared.security.service_keys import ServiceKeys
from shared.storage.audited import require_audit_entries
from shared.storage.connections import Database
from shared.storage.roles import (
    PASSWORD_FILE,
    create_roles,
    grant_access,
    owner_role,
    read_passwords,
    set_passwords,
)
from shared.storage.schema import CORE_DDL, SERVICES

_numbers = count(1)
_databases = count(1)


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fengping-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def servers(data_folder: Path) -> AsyncIterator[Stack]:
    """Run PostgreSQL, Valkey and Apache Kafka."""
    stack = Stack(data_folder / "servers")
    async with stack.running():
        yield stack


async def on_server(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def named(url: str, database: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{database}"


@pytest.fixture(scope="session")
async def template(servers: Stack) -> str:
    """Return a database to clone: every service migrated, virtual time installed."""
    from shared.storage.migrations import migrate

    await on_server(
        servers.postgres.superuser_url, "create database fengping_template owner fengping"
    )
    url = named(servers.postgres_url, "fengping_template")
    present = tuple(name for name in SERVICES if find_spec(f"services.{name}.tables"))
    await migrate(url, present)
    await set_passwords_of(servers, url)
    await on_server(url, VIRTUAL_CLOCK_DDL)
    return "fengping_template"


@cache
def keys_folder(data: Path) -> Path:
    """Return a folder with the keys of every service, which the tests of a session share."""
    folder = data / "test-keys"
    for service in SERVICES:
        ServiceKeys(service, folder / service).create_missing()
    KeyFolders(folder.joinpath).create_missing(real_now())
    return folder


async def set_passwords_of(servers: Stack, url: str) -> None:
    """Let the services' roles sign in with the passwords in the test keys."""
    folder = keys_folder(servers.data)
    newest = {service: read_passwords(folder / service / "database")[0] for service in SERVICES}
    connection = await asyncpg.connect(url)
    await set_passwords(connection, newest)
    await connection.close()


async def create_core(settings: Settings, service: str) -> None:
    """Create a schema with the core's tables only, and the roles of its service."""
    password = read_passwords(settings.keys_of(service) / PASSWORD_FILE)[0]
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await create_roles(connection, (service,))
            await set_passwords(connection, {service: password})
            await connection.execute(
                f'set local role "{owner_role(service)}"; set local search_path = "{service}";'
                f"{CORE_DDL}"
            )
        await require_audit_entries(connection, service)
        await grant_access(connection, service)
    finally:
        await connection.close()


def settings_for(servers: Stack, database_url: str, folder: Path) -> Settings:
    """Return settings for this database, with topics of their own."""
    number = next(_numbers)
    made = Settings(
        environment="test",
        second_factor="waived",
        database_url=database_url,
        redis_url=f"{servers.redis_url.rsplit('/', 1)[0]}/{number % 16}",
        kafka_servers=",".join(servers.kafka_servers),
        kafka_security_protocol="SASL_PLAINTEXT",
        topic_prefix=f"t{os.getpid()}-{number}.",
        topic_partitions=3,
        ballot_release_min=1,
        source_checks="waived",
        data_folder=folder,
        keys_folder=keys_folder(servers.data),
    )
    share_admin_password(servers, made)
    return made


@pytest.fixture
async def settings(servers: Stack, template: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings of a fresh installation: migrated database, empty cache, own topics."""
    import redis.asyncio

    name = f"fengping_{next(_databases)}"
    await on_server(
        servers.postgres.superuser_url, f"create database {name} template {template} owner fengping"
    )
    made = settings_for(servers, named(servers.postgres_url, name), tmp_path)
    cache = redis.asyncio.Redis.from_url(made.redis_url)
    await cache.flushdb()
    await cache.aclose()
    yield made
    await on_server(servers.postgres.superuser_url, f"drop database {name} with (force)")


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Callable[[str], Database]]:
    """`database("casework")` connects to that service's schema."""
    opened: dict[str, Database] = {}

    def connect(service: str) -> Database:
        if service not in opened:
            opened[service] = Database(
                settings.database_url,
                service,
                password_file=settings.keys_of(service) / PASSWORD_FILE,
                pool_size=5,
            )
        return opened[service]

    yield connect
    for each in opened.values():
        await each.close()


@pytest.fixture
async def core(
    servers: Stack, tmp_path: Path
) -> AsyncIterator[tuple[Settings, Callable[[str], Awaitable[Database]]]]:
    """An installation with the core tables only: (settings, `await open("casework")`)."""
    name = f"fengping_core_{next(_databases)}"
    await on_server(servers.postgres.superuser_url, f"create database {name} owner fengping")
    made = settings_for(servers, named(servers.postgres_url, name), tmp_path)
    await on_server(made.database_url, VIRTUAL_CLOCK_DDL)
    opened: dict[str, Database] = {}

    async def open_schema(service: str) -> Database:
        if service not in opened:
            await create_core(made, service)
            opened[service] = Database(made.database_url, service, pool_size=10)
        return opened[service]

    yield made, open_schema
    for each in opened.values():
        await each.close()
    await on_server(servers.postgres.superuser_url, f"drop database {name} with (force)")


class VirtualClock:
    """Legal time of one test's database."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def _run(self, sql: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def now(self) -> datetime:
        return await self._run("select public.app_now()")  # type: ignore[no-any-return]

    async def set(self, instant: datetime, *, rate: float = 1.0) -> None:
        """Set legal time, which then runs at `rate` seconds per second (0 stops it)."""
        await self._run(SET_VIRTUAL_CLOCK, instant, rate, False)

    async def advance(self, **by: float) -> datetime:
        """Move legal time forward: `advance(days=3)`."""
        now = await self.now() + timedelta(**by)
        await self.set(now)
        return now


@pytest.fixture
def clock(settings: Settings) -> VirtualClock:
    return VirtualClock(settings.database_url)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Records the spans of a test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("tests"))
    return exporter
