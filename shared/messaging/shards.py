"""Ownership of outbox shards by session advisory locks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from shared.foundation import telemetry
from shared.storage.connections import Database, advisory_lock_key, direct_connection
from shared.storage.schema import OUTBOX_SHARDS

ACQUIRE_INTERVAL_SECONDS = 0.5
CLOSE_TIMEOUT_SECONDS = 3.0


class ShardOwner:
    """The shards that this process owns, and the connection that holds their locks.

    `on_notify` is called when another process inserted outbox rows. The locks live as long as the
    connection.
    """

    def __init__(self, database: Database, on_notify: Callable[[], None]) -> None:
        self.owned: list[int] = []
        self._database = database
        self._on_notify = on_notify
        self._connection: asyncpg.Connection | None = None

    @property
    def channel(self) -> str:
        """The NOTIFY channel that announces outbox rows."""
        return f"outbox_{self._database.schema}"

    @property
    def owns_all(self) -> bool:
        """Whether no other process owns a shard."""
        return len(self.owned) == OUTBOX_SHARDS

    @property
    def connection(self) -> asyncpg.Connection:
        """The connection that holds the locks."""
        assert self._connection, "no shard is owned without a connection"
        return self._connection

    async def wait_for_shards(self) -> None:
        """Connect, and wait until at least one shard is owned."""
        await self._connect()
        while not await self.acquire():  # noqa: ASYNC110  # only the database knows the owners
            await asyncio.sleep(ACQUIRE_INTERVAL_SECONDS)

    async def _connect(self) -> None:
        service = self._database.schema
        connection = await direct_connection(self._database.address, f"fengping-relay-{service}")
        self._connection = connection
        # A lost mark causes a repetition; waiting for the disk would delay every batch.
        await connection.execute("set synchronous_commit = off")
        await connection.add_listener(self.channel, lambda *_: self._on_notify())

    async def acquire(self) -> bool:
        """Lock every free shard; return whether this process owns any."""
        service = self._database.schema
        for shard in set(range(OUTBOX_SHARDS)) - set(self.owned):
            key = advisory_lock_key("relay", service, shard)
            if await self.connection.fetchval("select pg_try_advisory_lock($1)", key):
                self.owned.append(shard)
        telemetry.relay_shards.labels(service).set(len(self.owned))
        return bool(self.owned)

    async def release(self) -> None:
        """Close the connection, which releases all locks."""
        self.owned = []
        connection = self._connection
        self._connection = None
        if connection:
            with suppress(Exception):
                await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)
