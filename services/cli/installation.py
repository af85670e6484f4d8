"""An installation: its settings, services, schemas and topics."""

import os
from importlib import import_module
from pathlib import Path

import asyncpg

from services.cli.witness_process import WitnessProcess
from shared.embedded import Stack
from shared.foundation.clock import VIRTUAL_CLOCK_DDL, real_now
from shared.foundation.private_files import create_private
from shared.foundation.settings import Settings
from shared.messaging import prepare_kafka
from shared.messaging.event_keys import KeyFolders
from shared.messaging.kafka_access import ADMIN
from shared.runtime.service import Service
from shared.security.service_keys import DATABASE, KAFKA, registered_keys, service_keys
from shared.storage.connections import Database
from shared.storage.migrations import migrate
from shared.storage.roles import read_passwords, set_passwords
from shared.storage.schema import SERVICES


def embedded_settings(
    stack: Stack,
    *,
    host: str,
    port: int,
    demo: bool,
) -> Settings:
    """Return the settings of an embedded installation; the environment overrides the rest."""
    environment = "demo" if demo else os.environ.get("FENGPING_ENVIRONMENT", "production")
    required = os.environ.get("FENGPING_SECOND_FACTOR", "required")
    second_factor = "waived" if demo else required
    active = os.environ.get("FENGPING_SOURCE_CHECKS", "active")
    source_checks = "waived" if demo else active
    settings = Settings(
        environment=environment,  # type: ignore[arg-type]
        second_factor=second_factor,  # type: ignore[arg-type]
        source_checks=source_checks,  # type: ignore[arg-type]
        database_url=stack.postgres_url,
        redis_url=stack.redis_url,
        kafka_servers=",".join(stack.kafka_servers),
        kafka_security_protocol="SASL_PLAINTEXT",
        data_folder=stack.data,
        witness_url=WitnessProcess(stack.data).url,
        host=host,
        port=port,
    )
    share_admin_password(stack, settings)
    return settings


def share_admin_password(stack: Stack, settings: Settings) -> None:
    """Put the password of the embedded Kafka's administrator where the settings look for it."""
    path = settings.keys_of(ADMIN) / KAFKA.file
    create_private(path, stack.kafka_admin_password + "\n")


def installed_settings(data: Path) -> Settings:
    """Return the settings of the running installation.

    They come from the environment if it names a database, else from the data folder.
    """
    if "FENGPING_DATABASE_URL" in os.environ or not (data / "ports.json").exists():
        return Settings()
    demo = (data / "demo.json").exists()
    return embedded_settings(Stack(data.absolute()), host="127.0.0.1", port=8080, demo=demo)


def build(name: str, settings: Settings) -> Service:
    """Return a service that is ready to be served."""
    service: Service = import_module(f"services.{name}.app").build(settings)
    return service


async def prepare(settings: Settings, *, demo: bool) -> None:
    """Migrate schemas and create topics; a demo also gets the virtual clock."""
    if demo:
        connection = await asyncpg.connect(settings.database_url)
        try:
            await connection.execute(VIRTUAL_CLOCK_DDL)
        finally:
            await connection.close()
    await install_schemas(settings)
    await prepare_kafka(settings)


async def install_schemas(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Migrate schemas, create missing keys, and set the passwords of the services' roles.

    Returns the versions of the schemas, and the keys that were created.
    """
    versions = await migrate(settings.database_url)
    created = await create_missing_keys(settings)
    await set_database_passwords(settings)
    return versions, created


async def set_database_passwords(settings: Settings) -> None:
    """Set the password of each service's role to the newest in its file."""
    newest = {
        service: read_passwords(service_keys(service, settings).path(DATABASE))[0]
        for service in SERVICES
    }
    connection = await asyncpg.connect(settings.database_url)
    try:
        await set_passwords(connection, newest)
    finally:
        await connection.close()


async def create_missing_keys(settings: Settings) -> list[str]:
    """Create the keys that are missing, and return `service: kind` of each.

    Raises MissingKey for one that data needs.
    """
    created: list[str] = []
    for service in SERVICES:
        kinds = await _registered_kinds(settings, service)
        new = service_keys(service, settings).create_missing(kinds)
        created.extend(f"{service}: {kind}" for kind in new)
    sources = KeyFolders(settings.keys_of).create_missing(real_now())
    return [*created, *(f"{source}: events" for source in sources)]


async def _registered_kinds(settings: Settings, service: str) -> set[str]:
    database = Database(settings.database_url, service, pool_size=1)
    try:
        async with database.transaction() as tx:
            return {kind for kind, _, _ in await registered_keys(tx)}
    finally:
        await database.close()
