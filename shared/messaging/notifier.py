"""Waking relays after a commit."""

import asyncio
from contextlib import suppress

from shared.messaging.relay import Relay
from shared.storage.connections import Database

NOTIFY_INTERVAL_SECONDS = 0.01


class RelayNotifier:
    """Wakes this process's relay at once, and another process's at most every few milliseconds.

    NOTIFY inside the writing transaction would serialise all commits behind one lock, so it is
    sent after the commit. A relay that misses it polls every second.
    """

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database = database
        self._relay = relay
        self._requested = asyncio.Event()

    def wake(self) -> None:
        """Have all relays of this service look for outbox rows."""
        self._relay.wake()
        self._requested.set()

    async def run(self) -> None:
        """Send the requested notifications until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            if not self._relay.owns_all_shards:
                with suppress(Exception):
                    async with self._database.transaction() as tx:
                        await tx.run(f"notify {self._relay.channel}")
            await asyncio.sleep(NOTIFY_INTERVAL_SECONDS)
