"""The consumer of a service: every event takes effect exactly once, nothing is skipped or blocked.

Context: none of FastStream's acknowledgement policies is safe alone (measured): the default commits
before the handler ends, ACK commits past a failure, NACK loops thousands of times a second, MANUAL
loses what cannot be decoded. `msg.ack()` commits positions, not messages.
Decision: the subscriber is MANUAL, with a parser that cannot raise and a decoder that returns
nothing. One batch is one transaction (`processor`), and offsets are committed explicitly after it
(`offsets`). A few batches run at once, never two of one partition (`scheduler`). The events of a
batch that fails are retried one by one and dead-lettered with their bytes (`event_retry`); the
aggregate is then quarantined, because later versions are buffered for want of their predecessor.
While the database or the broker is unavailable nothing is dead-lettered and no offset moves.
Consequences: an offset commit may fail or repeat without harm; the inbox refuses the work of a
zombie; a poison message costs seconds.
Alternatives: docs/decisions/batch-consumer.md.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from shared.appraisal.events import EVENTS, ResendRequested
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log_failure
from shared.messaging.batches import SPLIT_BATCH_FROM, Batch, first_offsets, read_all
from shared.messaging.event_mac import EventVerifier
from shared.messaging.event_retry import EventRetry
from shared.messaging.handlers import Handlers
from shared.messaging.log_verifier import LogVerifier
from shared.messaging.offsets import OffsetCommitter
from shared.messaging.processor import BatchProcessor
from shared.messaging.progress import ProgressWatch
from shared.messaging.resend import resend
from shared.messaging.scheduler import BatchScheduler
from shared.messaging.subscription import create_broker, subscribe
from shared.messaging.topics import close_quietly
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable, retry_while_unavailable

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 20.0
CLOSE_TIMEOUT_SECONDS = 25.0
RESTART_PAUSE_SECONDS = 1.0
REFETCH_PAUSE_SECONDS = (1.0, 3.0)


class Consumer:
    """Consumes the events of one service until cancelled."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        settings: Settings,
        *,
        context: Any,
        group: str,
    ) -> None:
        if ResendRequested.name not in handlers.names:
            handlers(ResendRequested)(resend)
        self.group = settings.topic_prefix + group
        self.topics = _topics_of(handlers, settings)
        self.processor = BatchProcessor(database, handlers, context=context, group=self.group)
        self.verifier = LogVerifier(
            self._kafka,
            database,
            settings,
            topics=self.topics,
            group=self.group,
        )
        self.progress = ProgressWatch(
            self._kafka,
            in_flight=lambda: self._scheduler.in_flight,
            group=self.group,
            stall_seconds=settings.stall_seconds,
        )
        self._service = database.schema
        self.event_verifier = EventVerifier(settings.keys_of(self._service), self._service)
        self._settings = settings
        self._handlers = handlers
        self._retry = EventRetry(self.processor)
        self._offsets = OffsetCommitter(self._kafka, self.group)
        self._scheduler = BatchScheduler(self.process)
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None

    @property
    def stalled(self) -> bool:
        """Whether there is lag without progress."""
        return self.progress.stalled

    def _kafka(self) -> AIOKafkaConsumer:
        """Return the running client. Raises KafkaError when there is none."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            raise KafkaError("consumer is not running")
        return consumer

    # ── lifecycle ─────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Consume until cancelled; replace a client that fails or stalls by a new one."""
        while True:
            try:
                await self._start()
                await self.progress.watch(self.verifier.raise_if_failed)
            except Exception as error:
                self._report(error)
            finally:
                await self._stop()
            await asyncio.sleep(RESTART_PAUSE_SECONDS)

    def _report(self, error: Exception) -> None:
        expected = isinstance(error, KafkaError) or is_unavailable(error)
        log_failure("consumer restarting", error, expected=expected, group=self.group)

    async def _start(self) -> None:
        self.event_verifier.refresh()
        self._broker = create_broker(self._settings, self._service, self.group)
        self._subscriber = self._subscribe(self._broker)
        self.progress.restart()
        self.verifier.restart()
        self._scheduler.resume()
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await self._broker.start()

    def _subscribe(self, broker: KafkaBroker) -> Any:
        subscriber = subscribe(
            broker,
            self.topics,
            self._settings,
            group=self.group,
            listener=_RebalanceListener(self),
            on_batch=self.on_batch,
        )
        # FastStream's own `get_msg` sleeps after an empty fetch for as long as the fetch waited.
        subscriber.get_msg = self._fetch
        return subscriber

    async def _fetch(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        fetched = await consumer.getmany(
            timeout_ms=self._settings.fetch_wait_milliseconds,
            max_records=self._settings.batch_max,
        )
        return tuple(chain.from_iterable(fetched.values()))

    async def _stop(self) -> None:
        """Wait for the running batches, commit, close. What was not finished is delivered again."""
        try:
            await self._scheduler.drain(STOP_TIMEOUT_SECONDS)
            if self._broker:
                await self._offsets.commit_now()
        finally:
            self._scheduler.cancel()
            self._offsets.cancel()
            await self._close_broker()

    async def _close_broker(self) -> None:
        broker = self._broker
        self._broker = None
        self._subscriber = None
        if broker:
            await close_quietly(broker.stop(), seconds=CLOSE_TIMEOUT_SECONDS)

    # ── rebalancing ───────────────────────────────────────────────────────────────────────────────

    def forget_partitions(self, revoked: Iterable[TopicPartition]) -> None:
        """Another replica takes over these partitions.

        Running batches need no protection: inbox and transaction decide which replica applies
        them.
        """
        partitions = list(revoked)
        self.verifier.invalidate()
        self._offsets.forget_partitions(partitions)
        self.progress.forget_partitions(partitions)

    async def verify_logs(self, assigned: Iterable[TopicPartition]) -> None:
        """Verify newly assigned partitions before their first record is processed."""
        if not self._scheduler.stopping:  # else they were assigned to a member that is leaving
            await self.verifier.verify(assigned)

    # ── processing ────────────────────────────────────────────────────────────────────────────────

    async def on_batch(self, records: Sequence[ConsumerRecord]) -> None:
        """Decode fetched records while other batches run, then start processing them."""
        batch = read_all(records, self._handlers.names, self.event_verifier)
        await self._scheduler.schedule(batch)
        if len(records) < SPLIT_BATCH_FROM and self._handlers.linger_seconds:
            await asyncio.sleep(self._handlers.linger_seconds)

    async def process(self, batch: Batch) -> None:
        """Apply one batch, then have its offsets committed.

        Never raises and never skips an event: if the batch could not be processed for a long
        time, its records are fetched again.
        """
        try:
            batch = await self.verifier.without_rewound(batch)
            if not batch:
                return
            failpoint("consumer.after_fetch")
            await retry_while_unavailable(self._apply_or_split, batch)
        except Exception as error:
            await self._refetch(batch, error)
            return
        self.progress.note_progress()
        self._offsets.add(batch)

    async def _apply_or_split(self, batch: Batch) -> None:
        try:
            await self.processor.apply(batch)
        except Exception as error:
            if is_unavailable(error):
                raise
            await self._retry.apply_each(batch)

    async def _refetch(self, batch: Batch, error: Exception) -> None:
        """Fetch the same records again after a pause."""
        log_failure("batch will be refetched", error, group=self.group, count=len(batch))
        await asyncio.sleep(random.uniform(*REFETCH_PAUSE_SECONDS))
        with suppress(KafkaError):
            self._seek_back(batch)

    def _seek_back(self, batch: Batch) -> None:
        consumer = self._kafka()
        for tp, offset in first_offsets(batch).items():
            if tp in consumer.assignment():
                consumer.seek(tp, offset)


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._consumer.forget_partitions(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._consumer.verify_logs(assigned)


def _topics_of(handlers: Handlers, settings: Settings) -> list[str]:
    topics = {EVENTS[name].topic for name in handlers.names}
    return sorted(settings.topic_prefix + topic for topic in topics)
