"""The bus: everything that speaks to Kafka. A service gives its handlers; the bus sends its outbox
and takes its events.
"""

import asyncio
from contextlib import suppress
from typing import Any

from shared.appraisal.events import ResendRequested
from shared.foundation import telemetry
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging import header_compat as lenient
from shared.messaging import store
from shared.messaging.consumer import Consumer, apply_events, reason_of
from shared.messaging.envelope import RecordDecodeError, read, unprefixed_topic
from shared.messaging.handlers import Handlers
from shared.messaging.relay import Relay
from shared.messaging.topics import TopicMismatch, create_topics
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable
from shared.storage.transaction import Transaction, new_id

__all__ = ["Bus", "Handlers", "TopicMismatch", "create_topics", "replay"]

lenient.install()

RESEND_AFTER_SECONDS = 2.0
"""An event that came too early waits this long for its predecessor before it is asked for."""
DEPENDENCY_RETRY_SECONDS = 30.0
"""Parked events that waited for another topic are tried again this often."""


class Bus:
    """Relay and consumer of one service, run side by side."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        settings: Settings,
        *,
        context: Any,
        relay_linger_seconds: float = 0.0,
    ) -> None:
        self._database, self._handlers, self._context = database, handlers, context
        self.relay = Relay(database, settings, linger_seconds=relay_linger_seconds)
        self.consumer = Consumer(
            database, handlers, settings, context=context, group=f"fengping-{database.schema}"
        )
        self._relay_notifier = RelayNotifier(database, self.relay)
        database.on_events = self._relay_notifier.wake
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start relay, consumer and housekeeping; a broker that is away delays them, it does not
        stop the service.
        """
        work = (
            self.relay.run(),
            self.consumer.run(),
            self._relay_notifier.run(),
            self._maintenance_loop(),
        )
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def health_problem(self) -> str | None:
        """Why this service is not ready as far as the bus is concerned, or None."""
        if any(task.done() for task in self._tasks):
            return "a bus task ended"
        return "consumer stalled" if self.consumer.stalled else None

    async def _maintenance_loop(self) -> None:
        """Once a second: gauges, missing predecessors; now and then: what waited for another topic."""
        rounds = 0
        while True:
            await asyncio.sleep(1)
            rounds += 1
            try:
                await self._update_gauges_and_request_missing()
                if rounds % DEPENDENCY_RETRY_SECONDS == 0:
                    await replay(
                        self._database,
                        self._handlers,
                        self._context,
                        by="system",
                        reason="dependency_missing",
                    )
                if rounds % 5 == 0:
                    await self.relay.backlog()
            except Exception as error:
                if not is_unavailable(error):
                    log.error(
                        "bus maintenance failed",
                        service=self._database.schema,
                        **telemetry.describe(error),
                    )

    async def _update_gauges_and_request_missing(self) -> None:
        async with self._database.transaction(self._context) as tx:
            dead_letters, buffered = await store.counts(tx)
            if buffered:
                await request_missing(tx)
        telemetry.dead_letters.labels(self.consumer.group).set(dead_letters)
        telemetry.events_buffered.labels(self.consumer.group).set(buffered)


async def request_missing(
    tx: Transaction, *, older_than_seconds: float = RESEND_AFTER_SECONDS
) -> int:
    """Ask the owners of buffered aggregates to send the missing versions again; gives how many were
    asked for.
    """
    gaps = await store.gaps(tx, older_than_seconds=older_than_seconds)
    for gap in gaps:
        tx.publish(
            ResendRequested(
                occurred_at=tx.now,
                request_id=new_id(),
                wanted_topic=unprefixed_topic(gap["topic"]),
                wanted_key=gap["key"],
                from_version=gap["from_version"],
                to_version=gap["to_version"],
            )
        )
        await store.note_resend_request(tx, gap["topic"], gap["key"])
        log.warning(
            "predecessor missing, resend requested",
            topic=gap["topic"],
            aggregate=gap["key"],
            version=gap["from_version"],
        )
    return len(gaps)


async def replay(
    database: Database,
    handlers: Handlers,
    context: Any,
    *,
    by: str,
    only: list[int] | None = None,
    reason: str | None = None,
) -> tuple[int, int]:
    """Put dead letters back, oldest version of an aggregate first. Gives (applied, still dead-lettered).

    Replaying twice changes nothing: what was applied is in the inbox and no longer dead-lettered.
    """
    async with database.transaction(context) as tx:
        dead_letter_ids = await store.pending_dead_letter_ids(tx, only=only, reason=reason)
    applied = 0
    for dead_letter_id in dead_letter_ids:
        applied += await _replay_one(database, handlers, context, dead_letter_id, by)
    return applied, len(dead_letter_ids) - applied


async def _replay_one(
    database: Database, handlers: Handlers, context: Any, dead_letter_id: int, by: str
) -> bool:
    try:
        async with database.transaction(
            context, setup_sql=store.exclusive_replay_lock(database.schema)
        ) as tx:
            dead_letter = await store.resolve_dead_letter(
                tx, dead_letter_id, state="replayed", by=by
            )
            if dead_letter is None:
                return False
            events = [read(store.stored_record(dead_letter, key=dead_letter["key"]))]
            await apply_events(tx, events, handlers, await store.insert_inbox(tx, events))
            tx.audit(
                "dead_letter.replayed",
                dead_letter_id,
                by,
                topic=dead_letter["topic"],
                event_type=dead_letter["type"],
            )
        return True
    except Exception as error:
        if is_unavailable(error):
            raise
        level = log.info if isinstance(error, RecordDecodeError) else log.warning
        level(
            "dead letter replay failed",
            service=database.schema,
            number=dead_letter_id,
            reason=reason_of(error)[0],
        )
        return False


class RelayNotifier:
    """Tells the relay that there is something to send: its own at once, another process's at most
    every few milliseconds.

    NOTIFY inside the writing transaction would serialise all commits behind one lock; it is sent
    after the commit instead, and a relay that misses it looks by itself every second.
    """

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database, self._relay = database, relay
        self._requested = asyncio.Event()

    def wake(self) -> None:
        self._relay.wake()
        self._requested.set()

    async def run(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            if not self._relay.owns_all:
                with suppress(Exception):
                    async with self._database.transaction() as tx:
                        await tx.run(f"notify {self._relay.channel}")
            await asyncio.sleep(0.01)
