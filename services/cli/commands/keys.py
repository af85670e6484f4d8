"""`fengping keys`: list, create, rotate and destroy the keys of the services."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from services.cli.broker_files import BrokerFiles
from services.cli.console import DATA, DataFolder, check_service, out, run
from services.cli.installation import build, installed_settings
from services.cli.witness_process import trust_logs
from shared.embedded import SetupError
from shared.foundation.clock import real_now
from shared.foundation.private_files import write_private
from shared.foundation.settings import Settings
from shared.messaging.event_keys import ACTIVATION, OVERLAP, KeyFolders
from shared.messaging.kafka_access import ADMIN
from shared.messaging.provisioning import replace_password
from shared.runtime.service import Service
from shared.security import log_sealing, master_keys
from shared.security.database_passwords import rotate_database_password
from shared.security.keyring import VaultError
from shared.security.master_keys import StillNeeded, records_by_version
from shared.security.service_keys import (
    DATABASE,
    ENCRYPTING_SERVICES,
    KAFKA,
    SIGNING,
    VAULT,
    ServiceKeys,
)
from shared.storage.schema import SERVICES

keys = typer.Typer(no_args_is_help=True, help="Keys of the services.")

Rotation = Callable[[Service, str], Awaitable[str]]
ServiceOption = Annotated[str | None, typer.Option("--service", help="Only this service.")]
By = Annotated[str, typer.Option(help="Your name, for the audit log.")]


# ── list and create ───────────────────────────────────────────────────────────────────────────────


@keys.command("list")
def list_keys(data: DataFolder = DATA) -> None:
    """List keys: how many records each master key wraps, and the public keys of audit logs."""
    settings = installed_settings(data)
    table = Table("service", "kind", "version", "use")
    for service in _with_keys(settings):
        for row in run(_rows(service, settings)):
            table.add_row(service, *row)
    out.print(table)


def _with_keys(settings: Settings) -> list[str]:
    """Return the services whose keys are on this machine."""
    return [service for service in SERVICES if settings.keys_of(service).exists()]


async def _rows(service: str, settings: Settings) -> list[tuple[str, str, str]]:
    built = build(service, settings)
    try:
        rows = list(_signing_rows(built.keys))
        if built.sealed is not None:
            async with built.database.transaction() as tx:
                counts = await records_by_version(tx, built.sealed.tables)
            for version in sorted({*built.keyring.master_keys, *counts}):
                rows.append((VAULT.name, str(version), f"{counts[version]} records"))
        return rows
    finally:
        await built.close()


def _signing_rows(keys: ServiceKeys) -> Iterator[tuple[str, str, str]]:
    signing = keys.signing
    for version, key in enumerate(signing.public_keys, 1):
        public = b64encode(key.public_bytes_raw()).decode()
        retired = signing.retired[version - 1 : version]
        until = f" until entry {retired[0].last_size}" if retired else ""
        yield SIGNING.name, str(version), f"{public}{until}"


@keys.command()
def create(folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Create the keys of every service in a folder, for the secrets of a new cluster."""
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} is not empty", "Name a new folder")
    for service in SERVICES:
        ServiceKeys(service, folder / service).create_missing()
    KeyFolders(folder.joinpath).create_missing(real_now())
    write_private(folder / ADMIN / KAFKA.file, KAFKA.generate(ADMIN))
    out.print(f"made {folder}: keep a copy apart from the backups of the database")


@keys.command()
def logs(folder: Annotated[Path, typer.Argument(help="The folder of all keys.")]) -> None:
    """Print the public keys of the audit logs, which a witness trusts."""
    for service in SERVICES:
        verifier = ServiceKeys(service, folder / service).signing.signer(service).verifier
        for line in verifier.key_lines():
            typer.echo(line)


@keys.command()
def kafka(
    folder: Annotated[Path, typer.Argument(help="The folder of all keys.")],
    host: Annotated[str, typer.Option(help="The broker's name, as clients know it.")] = "kafka",
    renew: Annotated[bool, typer.Option(help="Replace the certificate.")] = False,
) -> None:
    """Create settings, certificate and passwords of a Kafka broker of one's own, once."""
    files = BrokerFiles(folder, host)
    created = files.create_missing(real_now())
    if renew and not created:
        files.renew_certificate(real_now())
        out.print("new certificate: restart the broker, then the services")
    else:
        out.print(f"{folder}: {'made' if created else 'nothing missing'}")


# ── rotate ────────────────────────────────────────────────────────────────────────────────────────


async def _rotate_vault(service: Service, by: str) -> str:
    version = await master_keys.rotate_master_key(service.database.transaction, service.keys, by=by)
    return f"version {version} is in use; `fengping keys list` shows what is still to re-wrap"


async def _rotate_signing(service: Service, by: str) -> str:
    new = await log_sealing.rotate_signing_key(service.database.transaction, service.keys, by=by)
    return f"version {new.version} signs the log after entry {new.retired[-1].last_size}"


async def _rotate_events(
    service: Service,
    by: str,
    *,
    activation: timedelta = ACTIVATION,
    overlap: timedelta = OVERLAP,
) -> str:
    folders = KeyFolders(service.settings.keys_of)
    now = real_now()
    key = folders.rotate(now, source=service.name, activation=activation, overlap=overlap)
    async with service.database.transaction(service.context) as tx:
        tx.audit("key.rotated", EVENTS, by, key=key)
    return f"key {key} signs its events from {now + activation:%H:%M:%S}Z"


async def _rotate_kafka(service: Service, by: str) -> str:
    password = KAFKA.generate(service.name)
    await replace_password(service.settings, service.name, password.strip())
    write_private(service.keys.path(KAFKA), password)
    async with service.database.transaction(service.context) as tx:
        tx.audit("key.rotated", KAFKA.name, by)
    return "the broker has the new password; open connections go on"


async def _rotate_leaked_events(service: Service, by: str) -> str:
    at_once = timedelta(0)
    return await _rotate_events(service, by, activation=at_once, overlap=at_once)


async def _rotate_database(service: Service, by: str) -> str:
    await rotate_database_password(service.settings, service.keys, by=by)
    return "connections use a new password"


EVENTS: Final = "events"
ROTATIONS: Final[dict[str, tuple[Rotation, frozenset[str]]]] = {
    VAULT.name: (_rotate_vault, ENCRYPTING_SERVICES),
    SIGNING.name: (_rotate_signing, frozenset(SERVICES)),
    EVENTS: (_rotate_events, frozenset(SERVICES)),
    KAFKA.name: (_rotate_kafka, frozenset(SERVICES)),
    DATABASE.name: (_rotate_database, frozenset(SERVICES)),
}
"""How each kind of key is rotated, and which services have it."""


@keys.command()
def rotate(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(ROTATIONS)}.")],
    service: ServiceOption = None,
    leaked: Annotated[
        bool, typer.Option(help="Refuse the old key of events at once: somebody else may have it.")
    ] = False,
    by: By = "operator",
    data: DataFolder = DATA,
) -> None:
    """Replace a key while the services run."""
    if kind not in ROTATIONS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(ROTATIONS)}")
    if leaked and kind != EVENTS:
        raise typer.BadParameter(f"--leaked is for {EVENTS}")
    rotation, having = ROTATIONS[kind]
    if leaked:
        rotation = _rotate_leaked_events
    settings = installed_settings(data)
    wanted = [check_service(service)] if service else _with_keys(settings)
    for name in wanted:
        if name in having:
            sentence = run(_rotate(rotation, build(name, settings), by))
            out.print(f"{name}: {sentence}")
    if kind == SIGNING.name and settings.witness_logs is not None:
        trust_logs(settings.witness_logs, settings)


async def _rotate(rotation: Rotation, service: Service, by: str) -> str:
    try:
        return await rotation(service, by)
    finally:
        await service.close()


@keys.command()
def destroy(
    service: Annotated[str, typer.Argument(callback=check_service)],
    version: Annotated[int, typer.Argument(help="An old version of its master key.")],
    by: By = "operator",
    data: DataFolder = DATA,
) -> None:
    """Destroy an old master key that no record needs. Backups made before become unreadable."""
    run(_destroy(build(service, installed_settings(data)), version, by))
    out.print(f"{service}: version {version} is destroyed")


async def _destroy(service: Service, version: int, by: str) -> None:
    tables = service.sealed.tables if service.sealed else ()
    try:
        await master_keys.destroy_master_key(
            service.database.transaction, service.keys, tables, version=version, by=by
        )
    except (StillNeeded, VaultError) as error:
        raise SetupError(str(error), "Nothing was destroyed") from error
    finally:
        await service.close()
