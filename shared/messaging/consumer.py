"""The one wrapper around every subscriber: batches in, whole effects exactly once, nothing skipped,
nothing blocked.

Context: none of FastStream's acknowledgement policies is safe alone (measured): the default commits
before the handler ends, ACK commits past a failure, NACK loops thousands of times a second, MANUAL
loses what cannot be decoded. `msg.ack()` commits positions, not messages.
Decision: the subscriber is MANUAL with a parser that cannot raise and a decoder that returns the
bytes. One batch is one transaction: dead letters, inbox, version gate, handlers, outbox; a moment
after its commit the offsets are committed explicitly, those of all batches done meanwhile in one
request, with a time-out. A batch that fails is taken one event at a time, with bounded retries;
what still fails is parked with its bytes in the service's own dead-letter table. Its aggregate is
thereby quarantined: later versions find their predecessor missing and are held, in order. While the
database or the broker is away nothing is parked and no offset moves. A few batches may be at work,
never two of one partition: while one waits for the database the others are decoded and counted.
Consequences: an offset commit may fail or repeat without harm; a zombie's work is refused by the
inbox; a poison message costs seconds.
Alternatives: one event per transaction (20 times slower), Kafka transactions (not to be relied on),
dead-letter topics (two stores).
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.appraisal.events import EVENTS, OWNERS, NotYet, Refused, ResendRequested
from shared.foundation import telemetry
from shared.foundation.clock import real_now, steady_seconds
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log, trace_parent
from shared.messaging import store
from shared.messaging.envelope import Arrival, Record, Unreadable, read
from shared.messaging.handlers import Handlers, Heard
from shared.messaging.relay import lost_partitions
from shared.messaging.topics import client_options, close_quietly
from shared.storage.connections import Database
from shared.storage.errors import is_away
from shared.storage.transaction import Transaction

ATTEMPTS_MAX = 5
BACKOFF_SECONDS = (0.1, 0.3, 0.9, 2.7)
AWAY_SECONDS_MAX = 120.0
COMMIT_SECONDS = 10.0
COMMIT_PAUSE_SECONDS = 0.2
"""Offsets of what is done are committed together so often. A crash before that brings repetitions,
which the inbox knows.
"""
LAG_EVERY_SECONDS = 5.0
AT_WORK_MAX = 3
"""Batches at work at once. One would leave the processor idle while the database works, more would
only wait for each other.
"""
WHOLE_BELOW = 200
"""Events that share one transaction whatever their partition: for so few a commit costs more than
the waiting.
"""
STOP_SECONDS = 20.0
LOOK_SECONDS = 30.0
"""Records wait so long for the look at their log; then they are put back."""

NEVER = (Unreadable, Refused, ValueError, TypeError, KeyError, AttributeError, AssertionError)
"""Errors that no repetition cures: the event is parked at once."""

T = TypeVar("T")


class _Tried(Exception):
    """It would work; undo it."""


class _Changed(Exception):
    """Things are not as they were a moment ago."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A record whose envelope nobody can read."""

    record: ConsumerRecord
    error: Unreadable


Taken = Arrival | Broken


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of a batch: the events that took effect, in order, with those that had been held
    for them; how many are held now.
    """

    applied: list[Arrival]
    held: int


class Consumer:
    """Takes a service's events. `start` returns when the subscription stands; `stop` ends it
    orderly.
    """

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        settings: Settings,
        *,
        context: Any,
        group: str,
    ) -> None:
        self._database, self._settings, self._context, self.group = (
            database,
            settings,
            context,
            settings.topic_prefix + group,
        )
        self._handlers = handlers
        if ResendRequested.name not in handlers.names:
            handlers(ResendRequested)(send_again)
        self.topics = sorted(
            {settings.topic_prefix + EVENTS[name].topic for name in handlers.names}
        )
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._at_work: dict[asyncio.Task[None], Sequence[Taken]] = {}
        """What is being brought to its effect."""
        self._waiting: list[list[Taken]] = []
        """What was read ahead and waits for its partitions to be free."""
        self._done: dict[TopicPartition, int] = {}
        """Where to go on in each partition, not yet committed."""
        self._committing: asyncio.Task[None] | None = None
        self._stopping = False
        self._progress_at = steady_seconds()
        self._lag = 0
        self._looked = asyncio.Event()
        """The logs of what is assigned were looked at: they are the ones we know, or their start
        was sought, unless `_unlooked`.
        """
        self._unlooked = False
        self.stalled = False

    # ── running ───────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Consume until cancelled; a consumer that stops moving is replaced by a new one."""
        while True:
            try:
                await self._start()
                await self._watch_progress()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("consumer starts afresh", group=self.group, **telemetry.describe(error))
            except Exception as error:
                log.error(
                    "consumer failed, starts afresh", group=self.group, **telemetry.describe(error)
                )
            finally:
                await self._stop()
            await asyncio.sleep(1)

    async def _start(self) -> None:
        broker = KafkaBroker(
            **_broker_options(self._settings),
            enable_idempotence=True,
            acks="all",
            allow_auto_create_topics=False,
            graceful_timeout=20,
            client_id=f"fengping-{self.group}",
            logger=None,
        )
        subscriber = broker.subscriber(
            *self.topics,
            group_id=self.group,
            batch=True,
            max_records=self._settings.batch_max,
            batch_timeout_ms=self._settings.fetch_wait_milliseconds,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            max_poll_interval_ms=300_000,
            heartbeat_interval_ms=1_000,
            session_timeout_ms=round(1000 * self._settings.hearing_session_seconds),
            max_partition_fetch_bytes=4_194_304,
            listener=_Assigned(self),
            parser=_parse,
            decoder=_decode,
        )

        @subscriber
        async def come(message: KafkaMessage) -> None:
            raw = message.raw_message
            await self._come(raw if isinstance(raw, tuple) else (raw,))

        self._broker, self._subscriber = broker, subscriber
        # The framework's own way sleeps after an empty fetch as long as it has waited, deaf to what
        # comes.
        self._subscriber.get_msg = self._fetch
        self._progress_at, self._unlooked, self._stopping = steady_seconds(), False, False
        self._looked.clear()
        async with asyncio.timeout(30):
            await broker.start()

    async def _fetch(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        wait, most = self._settings.fetch_wait_milliseconds, self._settings.batch_max
        fetched = await consumer.getmany(timeout_ms=wait, max_records=most)
        return tuple(chain.from_iterable(fetched.values()))

    async def _stop(self) -> None:
        """Let the batch at work end, for a while; then let go of the broker. What was not done
        comes again.
        """
        self._stopping = True
        try:
            if self._at_work:
                await asyncio.wait(self._at_work, timeout=STOP_SECONDS)
            if self._broker:
                await self._commit_offsets()
        finally:
            for task in (*self._at_work, *filter(None, [self._committing])):
                task.cancel()
            self._waiting, self._done = [], {}
            broker, self._broker, self._subscriber = self._broker, None, None
            if broker:
                await close_quietly(broker.stop(), seconds=25)

    @property
    def _kafka(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            raise KafkaError("consumer is not running")
        return consumer

    async def _watch_progress(self) -> None:
        """Return when lag has not moved for twice the stall time, so that this consumer is
        replaced.
        """
        while True:
            await asyncio.sleep(min(LAG_EVERY_SECONDS, self._settings.stall_seconds / 3))
            if self._unlooked:
                raise KafkaError("logs could not be looked at")
            self._lag = await self._measure_lag() + self.in_hand
            if not self._lag:
                self._progress_at = steady_seconds()
            still = steady_seconds() - self._progress_at
            self.stalled = still > self._settings.stall_seconds
            if still > 2 * self._settings.stall_seconds:
                telemetry.consumer_restarts.labels(self.group).inc()
                log.error(
                    "consumer stalled, replaced",
                    group=self.group,
                    seconds=round(still),
                    lag=self._lag,
                )
                return

    async def _measure_lag(self) -> int:
        consumer = self._kafka
        partitions = sorted(consumer.assignment())
        if not partitions:
            return 0
        async with asyncio.timeout(COMMIT_SECONDS):
            ends = await consumer.end_offsets(partitions)
            positions = {tp: await consumer.position(tp) for tp in partitions}
        for tp, end in ends.items():
            telemetry.consumer_lag.labels(self.group, tp.topic, tp.partition).set(
                max(0, end - positions[tp])
            )
            telemetry.consumer_offset.labels(self.group, tp.topic, tp.partition).set(positions[tp])
        return sum(max(0, end - positions[tp]) for tp, end in ends.items())

    def let_go(self, revoked: Iterable[TopicPartition]) -> None:
        """Lag of a partition that another replica took over is its to tell, and so is how far it
        came.
        """
        for tp in revoked:
            self._done.pop(tp, None)
            for gauge in (telemetry.consumer_lag, telemetry.consumer_offset):
                with suppress(KeyError):
                    gauge.remove(self.group, tp.topic, tp.partition)

    @property
    def lag(self) -> int:
        """Events in the log not yet taken, as last measured."""
        return self._lag

    # ── taking ────────────────────────────────────────────────────────────────────────────────────

    async def _come(self, records: Sequence[ConsumerRecord]) -> None:
        """A batch was fetched: read it while others are at work, and set to work on its pieces as
        soon as their partitions are free.
        """
        self._waiting = _pieces(read_all(records, self._handlers.names))
        while self._waiting and not self._stopping:
            free = next((piece for piece in self._waiting if self._is_free(piece)), None)
            if free is None:
                await asyncio.wait(self._at_work, return_when=asyncio.FIRST_COMPLETED)
                continue
            self._waiting.remove(free)
            task = asyncio.create_task(self.take(free))
            self._at_work[task] = free
            task.add_done_callback(self._at_work.pop)
        if len(records) < WHOLE_BELOW and self._handlers.rest_seconds:
            await asyncio.sleep(self._handlers.rest_seconds)

    def _is_free(self, piece: Sequence[Taken]) -> bool:
        places = _lasts(piece).keys()
        return len(self._at_work) < AT_WORK_MAX and all(
            places.isdisjoint(_lasts(other)) for other in self._at_work.values()
        )

    @property
    def in_hand(self) -> int:
        """Records that were fetched and are not done: the log's position is past them already."""
        return sum(len(piece) for piece in (*self._at_work.values(), *self._waiting))

    async def take(self, batch: Sequence[Taken]) -> None:
        """Bring one batch to its effect, then commit its offsets. Never raises for what an event
        is, never skips one.
        """
        try:
            batch = await self._of_known_logs(batch)
            if not batch:
                return
            failpoint("consumer.after_fetch")
            await self._outlast_absence(lambda: self._apply_or_split(batch))
        except Exception as error:
            log.error(
                "batch put back", group=self.group, count=len(batch), **telemetry.describe(error)
            )
            await self._put_back(batch)
            return
        self._progress_at, self.stalled = steady_seconds(), False
        self._done |= {tp: last + 1 for tp, last in _lasts(batch).items()}
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_now_and_then())

    async def _of_known_logs(self, batch: Sequence[Taken]) -> Sequence[Taken]:
        """Wait until their logs were looked at; leaves out what will come again, because an earlier
        place of its log was sought.
        """
        async with asyncio.timeout(LOOK_SECONDS):
            await self._looked.wait()
        if self._unlooked:
            raise KafkaError("logs could not be looked at")
        consumer, sought = self._kafka, {}
        for tp, last in _lasts(batch).items():
            if tp in consumer.assignment() and (position := await consumer.position(tp)) <= last:
                sought[tp] = position
        if not sought:
            return batch
        return [
            taken
            for taken in batch
            if taken.record.offset < sought.get(_place(taken), taken.record.offset + 1)
        ]

    async def _outlast_absence(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat while the database is away, for a bounded time."""
        until = steady_seconds() + AWAY_SECONDS_MAX
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_away(error) or steady_seconds() > until:
                    raise
                log.warning("database away, waiting", group=self.group, **telemetry.describe(error))
                await asyncio.sleep(random.uniform(0.3, 1.0))

    async def _apply_or_split(self, batch: Sequence[Taken]) -> None:
        try:
            await self.apply(batch)
        except Exception as error:
            if is_away(error):
                raise
            for taken in batch:
                await self._outlast_absence(lambda taken=taken: self._apply_or_park(taken))  # type: ignore[misc]

    async def _apply_or_park(self, taken: Taken) -> None:
        """Try one event a bounded number of times, then park it with its bytes."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self.apply([taken])
                return
            except Exception as error:
                if is_away(error):
                    raise
                if attempt == ATTEMPTS_MAX or isinstance(error, NEVER):
                    if not await self._blame_follower(taken, error, attempt):
                        await self._park(taken.record, error, attempt)
                    return
                await asyncio.sleep(BACKOFF_SECONDS[attempt - 1] * random.uniform(0.8, 1.2))

    async def _park(self, record: Record, error: Exception, attempts: int) -> None:
        async with self._database.transaction(self._context) as tx:
            await store.park(tx, [(record, *reason_of(error), attempts)])
            failpoint("consumer.during_park")
        failpoint("consumer.after_park")
        self._say_parked(record, error, attempts)

    def _say_parked(self, record: Record, error: Exception, attempts: int) -> None:
        telemetry.dead_letters_parked.labels(self.group, record.topic).inc()
        telemetry.events_consumed.labels(self.group, record.topic, "parked").inc()
        log.error(
            "event parked",
            group=self.group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
            **telemetry.describe(error),
        )

    async def _blame_follower(self, taken: Taken, error: Exception, attempts: int) -> bool:
        """An event lets those through that were held for want of it. If one of them is to blame, it
        is parked, and what is before it takes effect. False: nobody but the event itself is to
        blame.
        """
        if not isinstance(taken, Arrival) or taken.once:
            return False
        followers = -1
        try:
            async with self._database.transaction(self._context) as tx:
                if await store.follower_of(tx, taken, after=0) is None:
                    return False
            while await self._works(taken, followers + 1):
                followers += 1
            if followers < 0:
                return False
            async with self._transaction_of(taken) as tx:
                await apply_arrivals(tx, [taken], self._handlers, tx.opened, followers=followers)
                blamed = await store.follower_of(tx, taken, after=followers)
                if blamed is None:
                    raise _Changed
                await store.park(tx, [(blamed.record, *reason_of(error), attempts)])
                await store.forget_held(tx, blamed)
        except Exception as again:
            if is_away(again):
                raise
            return False
        self._say_parked(blamed.record, error, attempts)
        return True

    async def _works(self, taken: Arrival, followers: int) -> bool:
        """Could it take effect with so many of its followers? Nothing is written. Raises _Changed
        when there are no so many.
        """
        try:
            async with self._transaction_of(taken) as tx:
                effect = await apply_arrivals(
                    tx, [taken], self._handlers, tx.opened, followers=followers
                )
                raise _Tried if len(effect.applied) == 1 + followers else _Changed
        except _Tried:
            return True
        except Exception as error:
            if is_away(error) or isinstance(error, _Changed):
                raise
            return False

    def _transaction_of(self, *arrivals: Arrival) -> AbstractAsyncContextManager[Transaction]:
        """The transaction of these events."""
        beside = store.beside_replays(self._database.schema)
        return self._database.transaction(self._context, store.opening(arrivals), first=beside)

    async def apply(self, batch: Sequence[Taken]) -> int:
        """One transaction for all of them; gives the number of events that took effect."""
        started = steady_seconds()
        arrivals = [taken for taken in batch if isinstance(taken, Arrival)]
        broken = [taken for taken in batch if isinstance(taken, Broken)]
        async with self._transaction_of(*arrivals) as tx:
            if broken:
                await store.park(
                    tx, [(each.record, each.error.reason, each.error.detail, 1) for each in broken]
                )
            effect = await apply_arrivals(tx, arrivals, self._handlers, tx.opened)
            failpoint("consumer.after_effect")
        failpoint("consumer.after_commit")
        try:
            self._count(arrivals, effect, broken, started)
        except (
            Exception
        ) as error:  # it is committed: whatever goes wrong now is not the events' fault
            log.error("batch not counted", group=self.group, **telemetry.describe(error))
        return len(effect.applied)

    def _count(
        self, arrivals: list[Arrival], effect: Effect, broken: Sequence[Broken], started: float
    ) -> None:
        now = real_now().timestamp()
        by_topic: dict[str, list[float]] = defaultdict(list)
        for arrival in effect.applied:
            by_topic[arrival.meta.topic].append(now - arrival.recorded_at)
        for topic, ages in by_topic.items():
            telemetry.events_consumed.labels(self.group, topic, "ok").inc(len(ages))
            observe = telemetry.event_age_seconds.labels(self.group, topic).observe
            for age in ages:
                observe(age)
        these = set(map(id, arrivals))  # those that were held before are in no batch
        came = sum(id(arrival) in these for arrival in effect.applied)
        for result, count in (
            ("held", effect.held),
            ("repeated", len(arrivals) - came - effect.held),
        ):
            if count:
                telemetry.events_consumed.labels(self.group, arrivals[0].meta.topic, result).inc(
                    count
                )
        for each in broken:
            telemetry.dead_letters_parked.labels(self.group, each.record.topic).inc()
        telemetry.batch_seconds.labels(self.group).observe(steady_seconds() - started)

    # ── offsets ───────────────────────────────────────────────────────────────────────────────────

    async def _commit_now_and_then(self) -> None:
        while self._done:
            await asyncio.sleep(COMMIT_PAUSE_SECONDS)
            await self._commit_offsets()

    async def _commit_offsets(self) -> None:
        """Explicit offsets, with a time-out. Losing this commit is harmless: the inbox knows what
        was done.
        """
        done, self._done = self._done, {}
        try:
            mine = self._kafka.assignment()
            if ends := {tp: offset for tp, offset in done.items() if tp in mine}:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._kafka.commit(ends)
                failpoint("consumer.after_offset_commit")
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets not committed", group=self.group, **telemetry.describe(error))

    async def _put_back(self, batch: Sequence[Taken]) -> None:
        """Read the same records again after a pause: their effect is not in the database."""
        await asyncio.sleep(random.uniform(1, 3))
        firsts = _lasts(reversed(batch))
        with suppress(KafkaError):
            for tp, offset in firsts.items():
                if tp in self._kafka.assignment():
                    self._kafka.seek(tp, offset)

    async def look_at_logs(self, assigned: Iterable[TopicPartition]) -> None:
        """Before the first record of newly assigned partitions: are these still the logs we know?
        If that cannot be told, start afresh.
        """
        if self._stopping:
            return  # given to a group member that is leaving
        try:
            await self.check_logs(assigned)
        except Exception as error:
            log.warning("logs not checked", group=self.group, **telemetry.describe(error))
            self._unlooked = True
        self._looked.set()

    def forget_look(self) -> None:
        """Other partitions are coming."""
        self._looked.clear()

    async def check_logs(self, assigned: Iterable[TopicPartition]) -> None:
        """Read a partition from its start when its log is not the one we know: the broker was wiped
        and filled again.

        Raises KafkaError when it was wiped and is not filled yet: who gave out the partitions of
        topics it did not know has left some out, and nobody would give them out again.
        """
        if missing := [
            topic for topic in self.topics if not self._kafka.partitions_for_topic(topic)
        ]:
            raise KafkaError(f"{len(missing)} topics were missing when partitions were given out")
        partitions = set(assigned)
        known = {
            tp: mark
            for tp, mark in (await self._outlast_absence(self._marks)).items()
            if tp in partitions
        }
        for tp in await lost_partitions(self._settings, known):
            log.error(
                "log replaced, reading from its start",
                group=self.group,
                topic=tp.topic,
                partition=tp.partition,
            )
            await self._kafka.seek_to_beginning(tp)
            async with self._database.transaction() as tx:
                await store.forget_mark(tx, tp.topic, tp.partition)

    async def _marks(self) -> dict[TopicPartition, tuple[int, str]]:
        async with self._database.transaction() as tx:
            rows = await store.consumed_marks(tx)
        return {
            TopicPartition(row["topic"], row["partition"]): (
                row["log_offset"],
                str(row["event_id"]),
            )
            for row in rows
        }


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the consumer that partitions go and come.

    Work in flight needs no protection: its transaction and the inbox settle who did it.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._consumer.forget_look()
        self._consumer.let_go(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._consumer.look_at_logs(assigned)


def _place(taken: Taken) -> TopicPartition:
    return TopicPartition(taken.record.topic, taken.record.partition)


def _pieces(batch: list[Taken]) -> list[list[Taken]]:
    """A large batch by partitions, so that one can wait for the database while another is counted;
    a small one whole.
    """
    if len(batch) < WHOLE_BELOW:
        return [batch]
    pieces: dict[tuple[str, int], list[Taken]] = defaultdict(list)
    for taken in batch:
        pieces[taken.record.topic, taken.record.partition].append(taken)
    return list(pieces.values())


def _lasts(batch: Iterable[Taken]) -> dict[TopicPartition, int]:
    """Offset of the last record of each partition."""
    lasts = {(taken.record.topic, taken.record.partition): taken.record.offset for taken in batch}
    return {TopicPartition(*place): offset for place, offset in lasts.items()}


def _broker_options(settings: Settings) -> dict[str, Any]:
    options = client_options(settings)
    protocol = options.pop("security_protocol")
    if protocol == "PLAINTEXT":
        return options
    from faststream.security import BaseSecurity, SASLScram256, SASLScram512

    for name in ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
        options.pop(name, None)
    tls = {"ssl_context": options.pop("ssl_context", None), "use_ssl": "SSL" in protocol.split("_")}
    if not protocol.startswith("SASL"):
        return options | {"security": BaseSecurity(**tls)}
    scram = SASLScram256 if settings.kafka_sasl_mechanism == "SCRAM-SHA-256" else SASLScram512
    return options | {
        "security": scram(
            username=settings.kafka_username or "", password=settings.kafka_password or "", **tls
        )
    }


async def _parse(raw: Any) -> KafkaMessage:
    """Never raises and never looks inside: reading the envelope is the wrapper's own work."""
    return KafkaMessage(
        body=b"",
        raw_message=raw,
        headers={},
        message_id="",
        correlation_id="",
        consumer=None,  # type: ignore[arg-type]
    )


async def _decode(message: KafkaMessage) -> bytes:
    return b""


def read_all(records: Iterable[ConsumerRecord], heard: Collection[str]) -> list[Taken]:
    """The envelopes of these records, and the bodies of the types that are heard."""
    batch: list[Taken] = []
    for record in records:
        try:
            arrival = read(record)
        except Unreadable as error:
            batch.append(Broken(record, error))
            continue
        batch.append(arrival)
        if arrival.meta.type in heard:
            try:
                arrival.event()
            except Unreadable:
                continue  # said again when its turn comes
    return batch


def reason_of(error: BaseException) -> tuple[str, str]:
    """(reason code, detail) of a parked event. Only our own sentences are kept; texts of libraries
    quote their input.
    """
    if isinstance(error, Unreadable):
        return error.reason, error.detail
    if isinstance(error, Refused):
        return "refused", error.sentence
    if isinstance(error, NotYet):
        return "not_yet", str(error)
    return "handler", " at ".join(telemetry.describe(error).values())


async def apply_arrivals(
    tx: Transaction,
    arrivals: Sequence[Arrival],
    handlers: Handlers,
    taken: asyncpg.Record,
    *,
    followers: int = store.ANY,
) -> Effect:
    """Give each new event its effect in this transaction: inbox, version gate, handlers.

    `taken`: what `store.opening` of these arrivals told. `followers`: with so many of the events
    that were held for want of these.
    """
    fresh, gate = await store.new_ones(tx, arrivals, taken)
    failpoint("consumer.after_inbox")
    ready, held, versions = await store.pass_gate(tx, fresh, gate, followers=followers)
    heard: list[Heard] = [
        (arrival.event(), arrival.meta) for arrival in ready if arrival.meta.type in handlers.names
    ]
    token = trace_parent.set(telemetry.child_of(ready[-1].trace) if ready else None)
    try:
        await handlers.dispatch(tx, heard)
        await tx.flush()
    finally:
        trace_parent.reset(token)
    store.note_consumed(tx, arrivals, versions)
    return Effect(ready, held)


async def send_again(tx: Transaction, event: ResendRequested, meta: Any) -> None:
    """Somebody misses versions of an aggregate of ours: unmark them, and the relay sends them
    again.
    """
    if OWNERS.get(event.wanted_topic) == tx.service:
        await store.unmark(
            tx, event.wanted_topic, event.wanted_key, event.from_version, event.to_version
        )
