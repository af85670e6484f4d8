"""The one wrapper around every subscriber: batches in, whole effects exactly once, nothing skipped,
nothing blocked.

Context: none of FastStream's acknowledgement policies is safe alone (measured): the default commits
before the handler ends, ACK commits past a failure, NACK loops thousands of times a second, MANUAL
loses what cannot be decoded. `msg.ack()` commits positions, not messages.
Decision: the subscriber is MANUAL with a parser that cannot raise and a decoder that returns the
bytes. One batch is one transaction: dead letters, inbox, version check, handlers, outbox; a moment
after its commit the offsets are committed explicitly, those of all batches done meanwhile in one
request, with a time-out. A batch that fails is taken one event at a time, with bounded retries;
what still fails is dead-lettered with its bytes in the service's own dead-letter table. Its aggregate is
thereby quarantined: later versions find their predecessor missing and are buffered, in order. While the
database or the broker is away nothing is dead-lettered and no offset moves. A few batches may be at work,
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
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.appraisal.errors import DependencyMissing, Rejected
from shared.appraisal.events import EVENTS, OWNERS, ResendRequested
from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds, real_now
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log, trace_parent
from shared.messaging import store
from shared.messaging.envelope import IncomingEvent, Record, RecordDecodeError, read
from shared.messaging.handlers import ConsumedEvent, Handlers
from shared.messaging.relay import lost_partitions
from shared.messaging.topics import client_options, close_quietly
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable
from shared.storage.transaction import Transaction

ATTEMPTS_MAX = 5
BACKOFF_SECONDS = (0.1, 0.3, 0.9, 2.7)
UNAVAILABLE_SECONDS_MAX = 120.0
COMMIT_TIMEOUT_SECONDS = 10.0
COMMIT_INTERVAL_SECONDS = 0.2
"""Offsets of what is done are committed together so often. A crash before that brings repetitions,
which the inbox knows.
"""
LAG_INTERVAL_SECONDS = 5.0
CONCURRENT_BATCHES_MAX = 3
"""Batches at work at once. One would leave the processor idle while the database works, more would
only wait for each other.
"""
SPLIT_BATCH_FROM = 200
"""Events that share one transaction whatever their partition: for so few a commit costs more than
the waiting.
"""
STOP_TIMEOUT_SECONDS = 20.0
LOG_VERIFICATION_SECONDS = 30.0
"""Records wait so long for the look at their log; then they are put back."""

PERMANENT_ERRORS = (
    RecordDecodeError,
    Rejected,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
)
"""Errors that no repetition cures: the event is dead-lettered at once."""

T = TypeVar("T")


class _DryRunSucceeded(Exception):
    """It would work; undo it."""


class _BufferChanged(Exception):
    """Things are not as they were a moment ago."""


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A record whose envelope nobody can read."""

    record: ConsumerRecord
    error: RecordDecodeError


Incoming = IncomingEvent | MalformedRecord


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of a batch: the events that took effect, in order, with those that had been buffered
    for them; how many are buffered now.
    """

    applied: list[IncomingEvent]
    buffered: int


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
            handlers(ResendRequested)(resend)
        self.topics = sorted(
            {settings.topic_prefix + EVENTS[name].topic for name in handlers.names}
        )
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._in_progress: dict[asyncio.Task[None], Sequence[Incoming]] = {}
        """What is being brought to its effect."""
        self._queued: list[list[Incoming]] = []
        """What was read ahead and waits for its partitions to be free."""
        self._done: dict[TopicPartition, int] = {}
        """Where to go on in each partition, not yet committed."""
        self._committing: asyncio.Task[None] | None = None
        self._stopping = False
        self._progress_at = monotonic_seconds()
        self._lag = 0
        self._logs_verified = asyncio.Event()
        """The logs of what is assigned were looked at: they are the ones we know, or their start
        was rewound, unless `_verification_failed`.
        """
        self._verification_failed = False
        self.stalled = False

    # ── running ───────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Consume until cancelled; a consumer that stops moving is replaced by a new one."""
        while True:
            try:
                await self._start()
                await self._watch_progress()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("consumer restarting", group=self.group, **telemetry.describe(error))
            except Exception as error:
                log.error(
                    "consumer failed, restarting", group=self.group, **telemetry.describe(error)
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
            session_timeout_ms=round(1000 * self._settings.consumer_session_seconds),
            max_partition_fetch_bytes=4_194_304,
            listener=_RebalanceListener(self),
            parser=_parse,
            decoder=_decode,
        )

        @subscriber
        async def on_batch(message: KafkaMessage) -> None:
            raw = message.raw_message
            await self._process_fetched(raw if isinstance(raw, tuple) else (raw,))

        self._broker, self._subscriber = broker, subscriber
        # The framework's own way sleeps after an empty fetch as long as it has waited, deaf to what
        # comes.
        self._subscriber.get_msg = self._fetch
        self._progress_at, self._verification_failed, self._stopping = (
            monotonic_seconds(),
            False,
            False,
        )
        self._logs_verified.clear()
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
            if self._in_progress:
                await asyncio.wait(self._in_progress, timeout=STOP_TIMEOUT_SECONDS)
            if self._broker:
                await self._commit_offsets()
        finally:
            for task in (*self._in_progress, *filter(None, [self._committing])):
                task.cancel()
            self._queued, self._done = [], {}
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
            await asyncio.sleep(min(LAG_INTERVAL_SECONDS, self._settings.stall_seconds / 3))
            if self._verification_failed:
                raise KafkaError("logs could not be verified")
            self._lag = await self._measure_lag() + self.in_flight
            if not self._lag:
                self._progress_at = monotonic_seconds()
            still = monotonic_seconds() - self._progress_at
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
        async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
            ends = await consumer.end_offsets(partitions)
            positions = {tp: await consumer.position(tp) for tp in partitions}
        for tp, end in ends.items():
            telemetry.consumer_lag.labels(self.group, tp.topic, tp.partition).set(
                max(0, end - positions[tp])
            )
            telemetry.consumer_offset.labels(self.group, tp.topic, tp.partition).set(positions[tp])
        return sum(max(0, end - positions[tp]) for tp, end in ends.items())

    def forget_partitions(self, revoked: Iterable[TopicPartition]) -> None:
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

    async def _process_fetched(self, records: Sequence[ConsumerRecord]) -> None:
        """A batch was fetched: read it while others are at work, and set to work on its chunks as
        soon as their partitions are free.
        """
        self._queued = _split_by_partition(read_all(records, self._handlers.names))
        while self._queued and not self._stopping:
            free = next((chunk for chunk in self._queued if self._can_start(chunk)), None)
            if free is None:
                await asyncio.wait(self._in_progress, return_when=asyncio.FIRST_COMPLETED)
                continue
            self._queued.remove(free)
            task = asyncio.create_task(self.process(free))
            self._in_progress[task] = free
            task.add_done_callback(self._in_progress.pop)
        if len(records) < SPLIT_BATCH_FROM and self._handlers.linger_seconds:
            await asyncio.sleep(self._handlers.linger_seconds)

    def _can_start(self, chunk: Sequence[Incoming]) -> bool:
        partitions = _last_offsets(chunk).keys()
        return len(self._in_progress) < CONCURRENT_BATCHES_MAX and all(
            partitions.isdisjoint(_last_offsets(other)) for other in self._in_progress.values()
        )

    @property
    def in_flight(self) -> int:
        """Records that were fetched and are not done: the log's position is past them already."""
        return sum(len(chunk) for chunk in (*self._in_progress.values(), *self._queued))

    async def process(self, batch: Sequence[Incoming]) -> None:
        """Bring one batch to its effect, then commit its offsets. Never raises for what an event
        is, never skips one.
        """
        try:
            batch = await self._after_log_verification(batch)
            if not batch:
                return
            failpoint("consumer.after_fetch")
            await self._retry_while_unavailable(lambda: self._apply_or_split(batch))
        except Exception as error:
            log.error(
                "batch will be refetched",
                group=self.group,
                count=len(batch),
                **telemetry.describe(error),
            )
            await self._seek_back(batch)
            return
        self._progress_at, self.stalled = monotonic_seconds(), False
        self._done |= {tp: last + 1 for tp, last in _last_offsets(batch).items()}
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_loop())

    async def _after_log_verification(self, batch: Sequence[Incoming]) -> Sequence[Incoming]:
        """Wait until their logs were looked at; leaves out what will come again, because an earlier
        place of its log was rewound.
        """
        async with asyncio.timeout(LOG_VERIFICATION_SECONDS):
            await self._logs_verified.wait()
        if self._verification_failed:
            raise KafkaError("logs could not be verified")
        consumer, rewound = self._kafka, {}
        for tp, last in _last_offsets(batch).items():
            if tp in consumer.assignment() and (position := await consumer.position(tp)) <= last:
                rewound[tp] = position
        if not rewound:
            return batch
        return [
            item
            for item in batch
            if item.record.offset < rewound.get(_topic_partition(item), item.record.offset + 1)
        ]

    async def _retry_while_unavailable(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat while the database is away, for a bounded time."""
        until = monotonic_seconds() + UNAVAILABLE_SECONDS_MAX
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_unavailable(error) or monotonic_seconds() > until:
                    raise
                log.warning(
                    "database unavailable, waiting", group=self.group, **telemetry.describe(error)
                )
                await asyncio.sleep(random.uniform(0.3, 1.0))

    async def _apply_or_split(self, batch: Sequence[Incoming]) -> None:
        try:
            await self.apply(batch)
        except Exception as error:
            if is_unavailable(error):
                raise
            for item in batch:
                await self._retry_while_unavailable(partial(self._apply_or_dead_letter, item))

    async def _apply_or_dead_letter(self, item: Incoming) -> None:
        """Try one event a bounded number of times, then park it with its bytes."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self.apply([item])
                return
            except Exception as error:
                if is_unavailable(error):
                    raise
                if attempt == ATTEMPTS_MAX or isinstance(error, PERMANENT_ERRORS):
                    if not await self._dead_letter_successor(item, error, attempt):
                        await self._dead_letter(item.record, error, attempt)
                    return
                await asyncio.sleep(BACKOFF_SECONDS[attempt - 1] * random.uniform(0.8, 1.2))

    async def _dead_letter(self, record: Record, error: Exception, attempts: int) -> None:
        async with self._database.transaction(self._context) as tx:
            await store.add_dead_letters(tx, [(record, *reason_of(error), attempts)])
            failpoint("consumer.during_dead_letter")
        failpoint("consumer.after_dead_letter")
        self._report_dead_letter(record, error, attempts)

    def _report_dead_letter(self, record: Record, error: Exception, attempts: int) -> None:
        telemetry.events_dead_lettered.labels(self.group, record.topic).inc()
        telemetry.events_consumed.labels(self.group, record.topic, "dead_lettered").inc()
        log.error(
            "event dead-lettered",
            group=self.group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
            **telemetry.describe(error),
        )

    async def _dead_letter_successor(self, item: Incoming, error: Exception, attempts: int) -> bool:
        """An event lets those through that were buffered for want of it. If one of them is to blame, it
        is dead-lettered, and what is before it takes effect. False: nobody but the event itself is to
        blame.
        """
        if not isinstance(item, IncomingEvent) or item.once:
            return False
        successors = -1
        try:
            async with self._database.transaction(self._context) as tx:
                if await store.successor_of(tx, item, after=0) is None:
                    return False
            while await self._dry_run(item, successors + 1):
                successors += 1
            if successors < 0:
                return False
            async with self._transaction_of(item) as tx:
                await apply_events(tx, [item], self._handlers, tx.first_row, successors=successors)
                culprit = await store.successor_of(tx, item, after=successors)
                if culprit is None:
                    raise _BufferChanged
                await store.add_dead_letters(tx, [(culprit.record, *reason_of(error), attempts)])
                await store.delete_buffered(tx, culprit)
        except Exception as again:
            if is_unavailable(again):
                raise
            return False
        self._report_dead_letter(culprit.record, error, attempts)
        return True

    async def _dry_run(self, item: IncomingEvent, successors: int) -> bool:
        """Could it take effect with so many of its successors? Nothing is written. Raises _BufferChanged
        when there are no so many.
        """
        try:
            async with self._transaction_of(item) as tx:
                effect = await apply_events(
                    tx, [item], self._handlers, tx.first_row, successors=successors
                )
                raise _DryRunSucceeded if len(effect.applied) == 1 + successors else _BufferChanged
        except _DryRunSucceeded:
            return True
        except Exception as error:
            if is_unavailable(error) or isinstance(error, _BufferChanged):
                raise
            return False

    def _transaction_of(self, *events: IncomingEvent) -> AbstractAsyncContextManager[Transaction]:
        """The transaction of these events."""
        replay_lock = store.shared_replay_lock(self._database.schema)
        return self._database.transaction(
            self._context, store.first_query(events), setup_sql=replay_lock
        )

    async def apply(self, batch: Sequence[Incoming]) -> int:
        """One transaction for all of them; gives the number of events that took effect."""
        started = monotonic_seconds()
        events = [item for item in batch if isinstance(item, IncomingEvent)]
        malformed = [item for item in batch if isinstance(item, MalformedRecord)]
        async with self._transaction_of(*events) as tx:
            if malformed:
                await store.add_dead_letters(
                    tx,
                    [(each.record, each.error.reason, each.error.detail, 1) for each in malformed],
                )
            effect = await apply_events(tx, events, self._handlers, tx.first_row)
            failpoint("consumer.after_effect")
        failpoint("consumer.after_commit")
        try:
            self._record_metrics(events, effect, malformed, started)
        except (
            Exception
        ) as error:  # it is committed: whatever goes wrong now is not the events' fault
            log.error("batch metrics not recorded", group=self.group, **telemetry.describe(error))
        return len(effect.applied)

    def _record_metrics(
        self,
        events: list[IncomingEvent],
        effect: BatchResult,
        malformed: Sequence[MalformedRecord],
        started: float,
    ) -> None:
        now = real_now().timestamp()
        by_topic: dict[str, list[float]] = defaultdict(list)
        for incoming in effect.applied:
            by_topic[incoming.meta.topic].append(now - incoming.recorded_at)
        for topic, ages in by_topic.items():
            telemetry.events_consumed.labels(self.group, topic, "ok").inc(len(ages))
            observe = telemetry.event_age_seconds.labels(self.group, topic).observe
            for age in ages:
                observe(age)
        batch_ids = set(map(id, events))  # those that were buffered before are in no batch
        from_batch = sum(id(incoming) in batch_ids for incoming in effect.applied)
        for result, count in (
            ("buffered", effect.buffered),
            ("duplicate", len(events) - from_batch - effect.buffered),
        ):
            if count:
                telemetry.events_consumed.labels(self.group, events[0].meta.topic, result).inc(
                    count
                )
        for each in malformed:
            telemetry.events_dead_lettered.labels(self.group, each.record.topic).inc()
        telemetry.batch_seconds.labels(self.group).observe(monotonic_seconds() - started)

    # ── offsets ───────────────────────────────────────────────────────────────────────────────────

    async def _commit_loop(self) -> None:
        while self._done:
            await asyncio.sleep(COMMIT_INTERVAL_SECONDS)
            await self._commit_offsets()

    async def _commit_offsets(self) -> None:
        """Explicit offsets, with a time-out. Losing this commit is harmless: the inbox knows what
        was done.
        """
        done, self._done = self._done, {}
        try:
            assigned = self._kafka.assignment()
            if ends := {tp: offset for tp, offset in done.items() if tp in assigned}:
                async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                    await self._kafka.commit(ends)
                failpoint("consumer.after_offset_commit")
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets not committed", group=self.group, **telemetry.describe(error))

    async def _seek_back(self, batch: Sequence[Incoming]) -> None:
        """Read the same records again after a pause: their effect is not in the database."""
        await asyncio.sleep(random.uniform(1, 3))
        firsts = _last_offsets(reversed(batch))
        with suppress(KafkaError):
            for tp, offset in firsts.items():
                if tp in self._kafka.assignment():
                    self._kafka.seek(tp, offset)

    async def verify_logs(self, assigned: Iterable[TopicPartition]) -> None:
        """Before the first record of newly assigned partitions: are these still the logs we know?
        If that cannot be told, start afresh.
        """
        if self._stopping:
            return  # given to a group member that is leaving
        try:
            await self.rewind_replaced_logs(assigned)
        except Exception as error:
            log.warning("logs not verified", group=self.group, **telemetry.describe(error))
            self._verification_failed = True
        self._logs_verified.set()

    def invalidate_verification(self) -> None:
        """Other partitions are coming."""
        self._logs_verified.clear()

    async def rewind_replaced_logs(self, assigned: Iterable[TopicPartition]) -> None:
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
            tp: checkpoint
            for tp, checkpoint in (await self._retry_while_unavailable(self._checkpoints)).items()
            if tp in partitions
        }
        for tp in await lost_partitions(self._settings, known):
            log.error(
                "Kafka log replaced, reading from its start",
                group=self.group,
                topic=tp.topic,
                partition=tp.partition,
            )
            await self._kafka.seek_to_beginning(tp)
            async with self._database.transaction() as tx:
                await store.delete_checkpoint(tx, tp.topic, tp.partition)

    async def _checkpoints(self) -> dict[TopicPartition, tuple[int, str]]:
        async with self._database.transaction() as tx:
            rows = await store.consumed_checkpoints(tx)
        return {
            TopicPartition(row["topic"], row["partition"]): (
                row["log_offset"],
                str(row["event_id"]),
            )
            for row in rows
        }


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the consumer that partitions go and come.

    Work in flight needs no protection: its transaction and the inbox settle who did it.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._consumer.invalidate_verification()
        self._consumer.forget_partitions(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._consumer.verify_logs(assigned)


def _topic_partition(item: Incoming) -> TopicPartition:
    return TopicPartition(item.record.topic, item.record.partition)


def _split_by_partition(batch: list[Incoming]) -> list[list[Incoming]]:
    """A large batch by partitions, so that one can wait for the database while another is counted;
    a small one whole.
    """
    if len(batch) < SPLIT_BATCH_FROM:
        return [batch]
    chunks: dict[tuple[str, int], list[Incoming]] = defaultdict(list)
    for item in batch:
        chunks[item.record.topic, item.record.partition].append(item)
    return list(chunks.values())


def _last_offsets(batch: Iterable[Incoming]) -> dict[TopicPartition, int]:
    """Offset of the last record of each partition."""
    offsets = {(item.record.topic, item.record.partition): item.record.offset for item in batch}
    return {TopicPartition(*partition): offset for partition, offset in offsets.items()}


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


def read_all(records: Iterable[ConsumerRecord], consumed_types: Collection[str]) -> list[Incoming]:
    """The envelopes of these records, and the bodies of the types that are heard."""
    batch: list[Incoming] = []
    for record in records:
        try:
            incoming = read(record)
        except RecordDecodeError as error:
            batch.append(MalformedRecord(record, error))
            continue
        batch.append(incoming)
        if incoming.meta.type in consumed_types:
            try:
                incoming.event()
            except RecordDecodeError:
                continue  # said again when its turn comes
    return batch


def reason_of(error: BaseException) -> tuple[str, str]:
    """(reason code, detail) of a dead-lettered event. Only our own sentences are kept; texts of libraries
    quote their input.
    """
    if isinstance(error, RecordDecodeError):
        return error.reason, error.detail
    if isinstance(error, Rejected):
        return "rejected", error.sentence
    if isinstance(error, DependencyMissing):
        return "dependency_missing", str(error)
    return "handler", " at ".join(telemetry.describe(error).values())


async def apply_events(
    tx: Transaction,
    events: Sequence[IncomingEvent],
    handlers: Handlers,
    first_row: asyncpg.Record,
    *,
    successors: int = store.UNLIMITED,
) -> BatchResult:
    """Give each new event its effect in this transaction: inbox, version check, handlers.

    `first_row`: what `store.first_query` of these events told. `successors`: with so many of the events
    that were buffered for want of these.
    """
    fresh, version_check = await store.select_new(tx, events, first_row)
    failpoint("consumer.after_inbox")
    ready, buffered, versions = await store.check_versions(
        tx, fresh, version_check, successors=successors
    )
    consumed: list[ConsumedEvent] = [
        (incoming.event(), incoming.meta)
        for incoming in ready
        if incoming.meta.type in handlers.names
    ]
    token = trace_parent.set(telemetry.child_of(ready[-1].trace) if ready else None)
    try:
        await handlers.dispatch(tx, consumed)
        await tx.flush()
    finally:
        trace_parent.reset(token)
    store.record_progress(tx, events, versions)
    return BatchResult(ready, buffered)


async def resend(tx: Transaction, event: ResendRequested, meta: Any) -> None:
    """Somebody misses versions of an aggregate of ours: mark_unpublished them, and the relay sends them
    again.
    """
    if OWNERS.get(event.wanted_topic) == tx.service:
        await store.mark_unpublished(
            tx, event.wanted_topic, event.wanted_key, event.from_version, event.to_version
        )
