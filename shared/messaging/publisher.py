"""Sending outbox rows to Kafka, in order, and collecting the broker's acknowledgements."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple
from zlib import crc32

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.messaging.envelope import write_headers
from shared.messaging.event_mac import EventSigner
from shared.messaging.store.outbox import Acknowledged, OutboxRow
from shared.messaging.topics import client_options, close_quietly

PRODUCE_BYTES_MAX = 524_288
REQUEST_TIMEOUT_MILLISECONDS = 10_000
ACK_TIMEOUT_SECONDS = 15.0
CLOSE_TIMEOUT_SECONDS = 3.0


class SentBatch(NamedTuple):
    """Rows that were sent to one partition in one batch, and the acknowledgement to come.

    The acknowledgement holds the offset of the first row.
    """

    rows: Sequence[OutboxRow]
    partition: int
    ack: "asyncio.Future[RecordMetadata]"


class OutboxPublisher:
    """Sends outbox rows of one service. Close it after any error: the producer is then unusable."""

    def __init__(self, service: str, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._signer = EventSigner(settings.keys_of(service), service)
        self._producer: AIOKafkaProducer | None = None

    async def send(self, rows: Sequence[OutboxRow]) -> list[Acknowledged]:
        """Send `rows` in order and return what the broker acknowledged.

        Each record is signed as it is sent, so that a republished one has the current key.
        """
        self._signer.refresh()
        producer = await self._current_producer()
        async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
            sends = (
                self._send_partition(producer, tp, partition_rows)
                for tp, partition_rows in self._by_partition(rows).items()
            )
            sent = await asyncio.gather(*sends)
            failpoint("relay.after_send")
            acked = [await _acknowledged(sent_batches) for sent_batches in sent]
        return list(chain.from_iterable(acked))

    def _by_partition(self, rows: Sequence[OutboxRow]) -> dict[TopicPartition, list[OutboxRow]]:
        by_partition: dict[TopicPartition, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            by_partition[self._topic_partition(row)].append(row)
        return by_partition

    def _topic_partition(self, row: OutboxRow) -> TopicPartition:
        partition = partition_of_key(row.key.encode(), self._settings.topic_partitions)
        return TopicPartition(self._settings.topic_prefix + row.topic, partition)

    async def _send_partition(
        self,
        producer: AIOKafkaProducer,
        tp: TopicPartition,
        rows: Sequence[OutboxRow],
    ) -> list[SentBatch]:
        """Pass the rows of one partition to the client in as few batches as possible."""
        sent_batches: list[SentBatch] = []
        start = 0
        while start < len(rows):
            batch = producer.create_batch()
            end = start
            while end < len(rows) and batch.append(**self._record(rows[end])) is not None:
                end += 1
            ack = await producer.send_batch(batch, tp.topic, partition=tp.partition)
            sent_batches.append(SentBatch(rows[start:end], tp.partition, ack))
            start = end
        return sent_batches

    def _record(self, row: OutboxRow) -> dict[str, Any]:
        """Return the keyword arguments of `BatchBuilder.append`."""
        headers = write_headers(
            event_id=row.event_id,
            service=self._service,
            type=row.type,
            key=row.key,
            version=row.version,
            occurred_at=row.occurred_at,
            created_at=row.created_at,
            trace=row.trace,
        )
        topic = self._settings.topic_prefix + row.topic
        key = row.key.encode()
        return {
            "key": key,
            "value": row.body,
            "headers": self._signer.sign(topic, key, headers, row.body),
            "timestamp": None,
        }

    async def _current_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = self._create_producer()
            async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
                await producer.start()
            self._producer = producer
        return self._producer

    def _create_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._settings, self._service),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=PRODUCE_BYTES_MAX,
            request_timeout_ms=REQUEST_TIMEOUT_MILLISECONDS,
            client_id=f"fengping-relay-{self._service}",
        )

    async def close(self) -> None:
        """Discard the producer; the next `send` creates another one."""
        producer = self._producer
        self._producer = None
        if producer:
            await close_quietly(producer.stop(), seconds=CLOSE_TIMEOUT_SECONDS)


async def _acknowledged(sent_batches: Sequence[SentBatch]) -> list[Acknowledged]:
    """Return the acknowledged rows of one partition, up to the first batch that failed.

    Batches after it are not counted, because they would be published out of order.
    """
    acked: list[Acknowledged] = []
    pending = (sent_batch.ack for sent_batch in sent_batches)
    acks = await asyncio.gather(*pending, return_exceptions=True)
    for sent_batch, ack in zip(sent_batches, acks, strict=True):
        # A negative offset: the broker recognised a duplicate whose offset it no longer knows.
        if isinstance(ack, BaseException) or ack.offset < 0:
            break
        for index, row in enumerate(sent_batch.rows):
            acked.append(Acknowledged(row.id, sent_batch.partition, ack.offset + index))
    return acked


def partition_of_key(key: bytes, partitions: int) -> int:
    """Return the partition of an aggregate.

    The client library's own hash is pure Python and costs more than everything else here.
    """
    return crc32(key) % partitions
