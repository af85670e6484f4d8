"""The bus of one service: its relay and its consumer, and their maintenance."""

import asyncio
from itertools import count
from typing import Any

from shared.foundation import telemetry
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log_failure
from shared.messaging import dead_letters, header_compat
from shared.messaging.consumer import Consumer
from shared.messaging.handlers import Handlers
from shared.messaging.notifier import RelayNotifier
from shared.messaging.relay import Relay
from shared.messaging.resend import request_missing
from shared.messaging.store import buffered_events
from shared.messaging.store import dead_letters as dead_letter_rows
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable

header_compat.install()

MAINTENANCE_INTERVAL_SECONDS = 1.0
BACKLOG_ROUNDS = 5
"""Maintenance rounds between measurements of the outbox."""
DEPENDENCY_RETRY_ROUNDS = 30
"""Maintenance rounds between replays of events that depend on another topic."""


class Bus:
    """Runs relay and consumer of one service side by side."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        settings: Settings,
        *,
        context: Any,
        relay_linger_seconds: float = 0.0,
    ) -> None:
        self.relay = Relay(database, settings, linger_seconds=relay_linger_seconds)
        self.consumer = Consumer(
            database,
            handlers,
            settings,
            context=context,
            group=f"fengping-{database.schema}",
        )
        self._database = database
        self._handlers = handlers
        self._context = context
        self._relay_notifier = RelayNotifier(database, self.relay)
        self._tasks: list[asyncio.Task[None]] = []
        database.on_events = self._relay_notifier.wake

    def start(self) -> None:
        """Start the tasks. An unavailable broker delays them; it does not stop the service."""
        work = (
            self.relay.run(),
            self.consumer.run(),
            self._relay_notifier.run(),
            self._maintenance_loop(),
        )
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        """Cancel the tasks and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def health_problem(self) -> str | None:
        """Return why the bus is not ready, or None."""
        if any(task.done() for task in self._tasks):
            return "a bus task ended"
        return "consumer stalled" if self.consumer.stalled else None

    async def _maintenance_loop(self) -> None:
        for rounds in count(1):
            await asyncio.sleep(MAINTENANCE_INTERVAL_SECONDS)
            try:
                await self._maintain(rounds)
            except Exception as error:
                self._report(error)

    def _report(self, error: Exception) -> None:
        if not is_unavailable(error):
            log_failure("bus maintenance failed", error, service=self._database.schema)

    async def _maintain(self, rounds: int) -> None:
        await self._update_gauges_and_request_missing()
        if rounds % DEPENDENCY_RETRY_ROUNDS == 0:
            await self._replay_dependents()
        if rounds % BACKLOG_ROUNDS == 0:
            await self.relay.backlog()

    async def _update_gauges_and_request_missing(self) -> None:
        async with self._database.transaction(self._context) as tx:
            pending = await dead_letter_rows.count_pending(tx)
            buffered = await buffered_events.count(tx)
            if buffered:
                await request_missing(tx)
        self._set_gauges(pending, buffered)

    def _set_gauges(self, pending: int, buffered: int) -> None:
        telemetry.dlq_depth.labels(self.consumer.group).set(pending)
        telemetry.events_buffered.labels(self.consumer.group).set(buffered)

    async def _replay_dependents(self) -> None:
        await dead_letters.replay(
            self._database,
            self._handlers,
            self._context,
            verifier=self.consumer.event_verifier,
            by="system",
            reason="dependency_missing",
        )
