"""One Alembic history per schema, run under an advisory lock, before the services start.

`python -m shared.storage.migrations revision casework "add ledger"` writes the next migration from
the difference between tables.py and a database.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from shared.foundation.clock import REAL_CLOCK_DDL
from shared.storage.audited import require_audit_entries
from shared.storage.connections import Address, advisory_lock_key, engine_for
from shared.storage.roles import create_roles, grant_access, owner_role
from shared.storage.schema import SERVICES

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
_LOCK = f"select pg_advisory_xact_lock({advisory_lock_key('migrate')})"


def config_for(service: str) -> Config:
    """Return Alembic's configuration of one service's history."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "deploy" / "migrations"))
    config.set_main_option("version_locations", _versions_folder(service))
    config.set_main_option("path_separator", "os")
    config.attributes["service"] = service
    return config


def _config_on(connection: Connection, service: str) -> Config:
    config = config_for(service)
    config.attributes["connection"] = connection
    return config


def _versions_folder(service: str) -> str:
    return str(ROOT / "services" / service / "migrations")


def _head_revision(config: Config) -> str | None:
    return ScriptDirectory.from_config(config).get_current_head()


async def migrate(url: str, services: tuple[str, ...] = SERVICES) -> dict[str, str]:
    """Upgrade and protect every schema, and return the versions.

    The user in `url` creates roles, schemas and extensions. Safe to run twice, also concurrently. A
    migration waits at most two seconds for a lock, so that it never blocks a running service.
    """
    await _prepare(url, services)
    versions = {service: await _upgrade(url, service) for service in services}
    await _protect(url, services)
    return versions


async def _protect(url: str, services: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(_LOCK)
            for service in services:
                await require_audit_entries(connection, service)
                await grant_access(connection, service)
    finally:
        await connection.close()


async def _prepare(url: str, services: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(_LOCK)
            await _create_common_objects(connection)
            await create_roles(connection, services)
    finally:
        await connection.close()


async def _create_common_objects(connection: asyncpg.Connection) -> None:
    await connection.execute("create extension if not exists pg_trgm with schema public")
    virtual = await connection.fetchval("select to_regclass('public.virtual_clock') is not null")
    if not virtual:
        await connection.execute(REAL_CLOCK_DDL)


async def _upgrade(url: str, service: str) -> str:
    def run(connection: Connection) -> str:
        config = _config_on(connection, service)
        command.upgrade(config, "head")
        return _head_revision(config) or ""

    return await _as_owner(url, service, run)


async def is_outdated(address: Address) -> bool:
    """Return whether the schema is older than the code."""
    service = address.schema

    def check(connection: Connection) -> bool:
        context = MigrationContext.configure(connection, opts={"version_table_schema": service})
        return context.get_current_revision() != _head_revision(config_for(service))

    return await _with_connection(address, check)


async def drift(url: str, service: str) -> list[Any]:
    """Return the differences between tables.py and the migrated schema."""

    def compare(connection: Connection) -> list[Any]:
        config = _config_on(connection, service)
        config.attributes["drift"] = []
        command.upgrade(config, "head")
        return list(config.attributes["drift"])

    return await _as_owner(url, service, compare)


async def _as_owner(
    url: str,
    service: str,
    work: Callable[[Connection], T],
) -> T:
    """Do `work` as the owner of the schema."""

    def run(connection: Connection) -> T:
        connection.exec_driver_sql(f'set local role "{owner_role(service)}"')
        return work(connection)

    return await _with_connection(Address(url, service), run)


async def _with_connection(address: Address, work: Callable[[Connection], T]) -> T:
    engine = engine_for(address, "fengping-migrate", poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("set local lock_timeout = '2s'")
        await connection.exec_driver_sql(_LOCK)
        return await connection.run_sync(work)


async def _revision(
    url: str,
    service: str,
    message: str,
) -> None:
    def write(connection: Connection) -> None:
        command.revision(
            _config_on(connection, service),
            message,
            autogenerate=True,
            version_path=_versions_folder(service),
        )

    await _prepare(url, (service,))
    await _as_owner(url, service, write)


if __name__ == "__main__":
    from shared.foundation.settings import Settings

    if len(sys.argv) != 4 or sys.argv[1] != "revision" or sys.argv[2] not in SERVICES:
        sys.exit(
            'usage: python -m shared.storage.migrations revision SERVICE "message"\n'
            "FENGPING_DATABASE_URL names the database"
        )
    asyncio.run(_revision(Settings().database_url, sys.argv[2], sys.argv[3]))
