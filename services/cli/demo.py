"""A demo installation: its password, accounts and clock."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from services.cli.demo_accounts import seed_accounts
from services.cli.demo_register import seed_register
from services.cli.virtual_clock import VirtualClock
from services.simulate.units import UNITS
from shared.foundation.settings import Settings
from shared.storage.connections import Database


@dataclass(frozen=True, slots=True)
class DemoInstallation:
    """A demo that is ready to run: its accounts exist and its clock runs."""

    password: str
    clock: VirtualClock


def demo_password(data: Path) -> str:
    """Return the password of the demo accounts; the first call generates and stores it."""
    file = data / "demo.json"
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        _store_password(file, "fp-" + secrets.token_hex(4))
    password: str = json.loads(file.read_text())["password"]
    return password


def _store_password(file: Path, password: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        json.dump({"password": password}, handle)


async def prepare_demo(settings: Settings, password: str) -> DemoInstallation:
    """Create the demo's units and accounts and start the clock.

    A second call adds what is missing.
    """
    # Start the clock first: rows written earlier would lie in its future.
    clock = await VirtualClock.started(settings.database_url)
    await seed_register(settings.database_url)
    await _seed_accounts(settings, password)
    return DemoInstallation(password, clock)


async def _seed_accounts(settings: Settings, password: str) -> None:
    database = Database(settings.database_url, "intake", pool_size=2)
    units = [(unit.unit_id, unit.name) for unit in UNITS]
    try:
        async with database.transaction() as tx:
            await seed_accounts(tx, password=password, units=units)
    finally:
        await database.close()
