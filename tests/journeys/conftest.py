"""All four services on one port, used through their public interface only."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, datetime
from typing import Any, TypeVar

import pytest

from services.cli.demo_accounts import seed_accounts
from services.cli.demo_register import seed_register
from services.cli.server import running
from services.simulate.accounts import OFFICE, DemoAccount
from services.simulate.client import Client, id_of
from services.simulate.staff import ClientPool
from services.simulate.timeline import demo_rules
from services.simulate.units import UNITS
from shared.embedded.machine import choose_port
from shared.foundation.clock import CHINA
from shared.foundation.settings import Settings
from shared.messaging import prepare_kafka
from shared.runtime.service import Service
from shared.storage.connections import Database

PASSWORD = "journey-4711-word"
BEGINS = date(2026, 11, 2)
"""A Monday. Scheme J's dates are moved around it: no obligation is due within the first week."""
T = TypeVar("T")


def shanghai(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """An instant in November 2026."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=CHINA)


async def eventually(look: Callable[[], Awaitable[T]], *, seconds: float = 40.0) -> T:
    """Return the first truthy result of `look`; fail with its last result after `seconds`."""
    found: Any = None
    for _ in range(int(seconds / 0.1)):
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"still {found!r} after {seconds} s")


class System:
    """All four services, running, and a pool of signed-in clients."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._exits = AsyncExitStack()
        self.services: dict[str, Service] = {}

    async def open(self) -> None:
        self.client = await self._exits.enter_async_context(
            Client(f"http://127.0.0.1:{self.settings.port}", attempts_max=20)
        )
        self.clients = ClientPool(self.client, PASSWORD)
        self.services = {
            service.name: service
            for service in await self._exits.enter_async_context(running(self.settings))
        }

    async def close(self) -> None:
        await self._exits.aclose()

    async def restart(self) -> None:
        """Stop all services and start them again. Clients sign in again."""
        await self.close()
        self._exits = AsyncExitStack()
        await self.open()

    async def metrics(self) -> bytes:
        """Return what Prometheus scrapes."""
        async with Client(f"http://127.0.0.1:{self.settings.health_port}") as prometheus:
            return (await prometheus.text("/metrics")).encode()

    async def as_(self, person: DemoAccount) -> Client:
        return await self.clients(person)

    async def publish(self) -> str:
        """Publish scheme J with the demo's units and wait until intake knows it."""
        office = await self.as_(OFFICE)
        units = [
            {
                "unit_id": body.unit_id,
                "name": body.name,
                "category": body.category,
            }
            for body in UNITS
        ]
        request = {
            "rules": demo_rules(BEGINS),
            "year": 2026,
            "units": units,
            "campaign_id": "J-2026",
        }
        await office.publish_campaign(request, key=id_of("journey", self.settings.topic_prefix))
        await eventually(office.campaigns)
        return "J-2026"


@pytest.fixture
async def system(settings: Settings, clock):
    """The system on Tuesday 3 November 2026 at 9:00, with accounts and without a campaign."""
    port = choose_port()
    ports = {"port": port, "internal_port": choose_port([port])}
    await clock.set(shanghai(3, 9))
    await prepare_kafka(settings)
    await seed_register(settings.database_url)
    database = Database(settings.database_url, "intake", pool_size=2)
    async with database.transaction() as tx:
        await seed_accounts(
            tx, password=PASSWORD, units=[(body.unit_id, body.name) for body in UNITS]
        )
    await database.close()
    made = System(settings.model_copy(update=ports | {"host": "127.0.0.1"}))
    await made.open()
    yield made
    await made.close()
