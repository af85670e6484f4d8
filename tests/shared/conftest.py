"""A Valkey of its own for tests that empty, freeze and kill it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.embedded.machine import choose_port
from shared.embedded.valkey import Valkey
from shared.storage.redis import connect


@pytest.fixture(scope="session")
async def valkey(data_folder: Path) -> AsyncIterator[Valkey]:
    server = Valkey(data_folder / "valkey-to-break", choose_port(), password="only-for-tests")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """An empty Redis that is there, whatever the test before did to it."""
    await valkey.start()
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()
