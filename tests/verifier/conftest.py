"""A campaign that three services have published, consumed and sealed."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.embedded import Stack
from shared.foundation.settings import Settings
from tests.conftest import named
from tests.verifier import edits
from tests.verifier.support import SERVICES, Installation


@pytest.fixture
async def owner(servers: Stack, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the database, whom no trigger and no constraint stops."""
    url = named(servers.postgres.superuser_url, settings.database_url.rsplit("/", 1)[1])
    connection = await asyncpg.connect(url)
    await connection.execute("set session_replication_role = replica")
    yield connection
    await connection.close()


@pytest.fixture
async def installation(
    settings: Settings, owner: asyncpg.Connection
) -> AsyncIterator[Installation]:
    made = Installation(settings)
    await made.create_campaign()
    await made.play(1)
    for service in SERVICES:
        await edits.keep(owner, service, f"early_{service}")
    await made.play(2)
    await made.decide()
    await made.void()
    await made.seal()
    yield made
    await made.close()
