"""The whole house on one port, entered only at its public doors."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, datetime
from typing import Any, TypeVar

import pytest

from services.cli.demo_accounts import seed_accounts
from services.cli.server import running
from services.simulate.accounts import OFFICE, DemoAccount
from services.simulate.client import Client, id_of
from services.simulate.staff import ClientPool
from services.simulate.timeline import demo_rules
from services.simulate.units import UNITS
from shared.foundation.clock import CHINA
from shared.foundation.settings import Settings
from shared.messaging import create_topics
from shared.runtime.service import Service
from shared.storage.connections import Database

PASSWORD = "journey-4711-word"
BEGINS = date(2026, 11, 2)
"""A Monday; scheme J's dates are laid around it, so that no obligation is due before a week has passed.
"""
T = TypeVar("T")


def shanghai(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """An instant in November 2026."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=CHINA)


async def eventually(look: Callable[[], Awaitable[T]], *, seconds: float = 40.0) -> T:
    """What `look` gives, as soon as it gives something; the last thing it gave is in the failure."""
    found: Any = None
    for _ in range(int(seconds / 0.1)):
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"still {found!r} after {seconds} s")


class House:
    """All four services, running; people sign in by their role's account."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._exits = AsyncExitStack()
        self.services: dict[str, Service] = {}

    async def open(self) -> None:
        self.client = await self._exits.enter_async_context(
            Client(f"http://127.0.0.1:{self.settings.port}", attempts_max=20)
        )
        self.people = ClientPool(self.client, PASSWORD)
        self.services = {
            service.name: service
            for service in await self._exits.enter_async_context(running(self.settings))
        }

    async def close(self) -> None:
        await self._exits.aclose()

    async def restart(self) -> None:
        """Stop all services, with whatever they were doing, and start them again. Sessions live on
        in Redis, people sign in anew.
        """
        await self.close()
        self._exits = AsyncExitStack()
        await self.open()

    async def as_(self, person: DemoAccount) -> Client:
        return await self.people(person)

    async def publish(self) -> str:
        """Scheme J with the demo's units; back when every service has heard of it."""
        office = await self.as_(OFFICE)
        units = [
            {
                "unit_id": body.unit_id,
                "name": body.name,
                "category": body.category,
                "aliases": list(body.aliases),
            }
            for body in UNITS
        ]
        asked = {
            "rules": demo_rules(BEGINS),
            "year": 2026,
            "units": units,
            "campaign_id": "J-2026",
        }
        await office.publish_campaign(asked, key=id_of("journey", self.settings.topic_prefix))
        await eventually(office.campaigns)
        return "J-2026"


@pytest.fixture
async def house(settings: Settings, clock):
    """The house on the morning of Tuesday 3 November 2026, accounts made, nothing published yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    await clock.set(shanghai(3, 9))
    await create_topics(settings)
    database = Database(settings.database_url, "intake", pool_size=2)
    async with database.transaction() as tx:
        await seed_accounts(
            tx, password=PASSWORD, units=[(body.unit_id, body.name) for body in UNITS]
        )
    await database.close()
    made = House(settings.model_copy(update={"port": port, "host": "127.0.0.1"}))
    await made.open()
    yield made
    await made.close()
