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
from shared.messaging.consumer import Consumer, apply_arrivals, reason_of
from shared.messaging.envelope import Unreadable, plain, read
from shared.messaging.handlers import Handlers
from shared.messaging.relay import Relay
from shared.messaging.topics import TopicMismatch, make_topics
from shared.storage.connections import Database
from shared.storage.errors import is_away
from shared.storage.transaction import Transaction, new_id

__all__ = ["Bus", "Handlers", "TopicMismatch", "make_topics", "replay"]

lenient.install()

HOLD_SECONDS = 2.0
"""An event that came too early waits this long for its predecessor before it is asked for."""
WAITING_SECONDS = 30.0
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
        relay_rest_seconds: float = 0.0,
    ) -> None:
        self._database, self._handlers, self._context = database, handlers, context
        self.relay = Relay(database, settings, rest_seconds=relay_rest_seconds)
        self.consumer = Consumer(
            database, handlers, settings, context=context, group=f"fengping-{database.schema}"
        )
        self._waker = _Waker(database, self.relay)
        database.on_events = self._waker.wake
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start relay, consumer and housekeeping; a broker that is away delays them, it does not
        stop the service.
        """
        work = (self.relay.run(), self.consumer.run(), self._waker.run(), self._keep_house())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def trouble(self) -> str | None:
        """Why this service is not ready as far as the bus is concerned, or None."""
        if any(task.done() for task in self._tasks):
            return "a bus task ended"
        return "consumer stalled" if self.consumer.stalled else None

    async def _keep_house(self) -> None:
        """Once a second: gauges, missing predecessors; now and then: what waited for another topic."""
        rounds = 0
        while True:
            await asyncio.sleep(1)
            rounds += 1
            try:
                await self._count_and_ask()
                if rounds % WAITING_SECONDS == 0:
                    await replay(
                        self._database, self._handlers, self._context, by="system", reason="not_yet"
                    )
                if rounds % 5 == 0:
                    await self.relay.backlog()
            except Exception as error:
                if not is_away(error):
                    log.error(
                        "housekeeping failed",
                        service=self._database.schema,
                        **telemetry.describe(error),
                    )

    async def _count_and_ask(self) -> None:
        async with self._database.transaction(self._context) as tx:
            letters, held = await store.counts(tx)
            if held:
                await ask_for_missing(tx)
        telemetry.dead_letters.labels(self.consumer.group).set(letters)
        telemetry.events_held.labels(self.consumer.group).set(held)


async def ask_for_missing(tx: Transaction, *, older_than_seconds: float = HOLD_SECONDS) -> int:
    """Ask the owners of held aggregates to send the missing versions again; gives how many were
    asked for.
    """
    gaps = await store.gaps(tx, older_than_seconds=older_than_seconds)
    for gap in gaps:
        tx.emit(
            ResendRequested(
                occurred_at=tx.now,
                request_id=new_id(),
                wanted_topic=plain(gap["topic"]),
                wanted_key=gap["key"],
                from_version=gap["from_version"],
                to_version=gap["to_version"],
            )
        )
        await store.note_asked(tx, gap["topic"], gap["key"])
        log.warning(
            "predecessor missing, asked for",
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
    """Put dead letters back, oldest version of an aggregate first. Gives (applied, still parked).

    Replaying twice changes nothing: what was applied is in the inbox and no longer parked.
    """
    async with database.transaction(context) as tx:
        letters = await store.parked_ids(tx, only=only, reason=reason)
    applied = 0
    for letter_id in letters:
        applied += await _replay_one(database, handlers, context, letter_id, by)
    return applied, len(letters) - applied


async def _replay_one(
    database: Database, handlers: Handlers, context: Any, letter_id: int, by: str
) -> bool:
    try:
        async with database.transaction(context, first=store.alone(database.schema)) as tx:
            letter = await store.settle(tx, letter_id, state="replayed", by=by)
            if letter is None:
                return False
            arrivals = [read(store.kept(letter, key=letter["key"]))]
            await apply_arrivals(tx, arrivals, handlers, await store.take_in(tx, arrivals))
            tx.record(
                "dead_letter.replayed",
                letter_id,
                by,
                topic=letter["topic"],
                event_type=letter["type"],
            )
        return True
    except Exception as error:
        if is_away(error):
            raise
        level = log.info if isinstance(error, Unreadable) else log.warning
        level(
            "dead letter stays parked",
            service=database.schema,
            number=letter_id,
            reason=reason_of(error)[0],
        )
        return False


class _Waker:
    """Tells the relay that there is something to send: its own at once, another process's at most
    every few milliseconds.

    NOTIFY inside the writing transaction would serialise all commits behind one lock; it is sent
    after the commit instead, and a relay that misses it looks by itself every second.
    """

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database, self._relay = database, relay
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._relay.wake()
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not self._relay.owns_all:
                with suppress(Exception):
                    async with self._database.transaction() as tx:
                        await tx.run(f"notify {self._relay.channel}")
            await asyncio.sleep(0.01)
