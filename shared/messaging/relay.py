"""The relay: outbox rows to Kafka, in the order of each aggregate, again and again until
acknowledged.

Context: measured with 12 writers, a cursor over ids lost a quarter of the events, SKIP LOCKED
inverted some, one owner per shard with a flag per row lost and inverted none; a relay killed
between acknowledgement and mark only repeats.
Decision: a shard belongs to whoever holds its session advisory lock. Rows leave in id order, keyed
by aggregate, and are marked after the broker's acknowledgement with partition and offset. The first
failure in a partition holds back its later rows. After any error the producer is thrown away: a
time-out says nothing about delivery. The last acknowledged record of every partition is read back
now and then; where the log no longer holds it, the log was lost, and everything kept in the outbox
for it is sent again.
Consequences: a wiped broker is refilled without anybody's help; repeats are normal; hearers take
each event once (inbox, versions).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple
from zlib import crc32

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging.envelope import RecordDecodeError, read, unprefixed_topic, write_headers
from shared.messaging.topics import client_options, close_quietly, create_topics
from shared.storage.connections import Database, advisory_lock_key, direct_connection
from shared.storage.schema import OUTBOX_SHARDS

RELAY_BATCH_MAX = 2_000
PRODUCE_BYTES_MAX = 524_288
ACK_TIMEOUT_SECONDS = 15.0
POLL_INTERVAL_SECONDS = 1.0
LOG_CHECK_SECONDS = 30.0
BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)

_PENDING = """
select id, event_id, topic, key, version, type, body, trace, occurred_at, created_at
from outbox where published_at is null and shard = any($1::smallint[]) order by id limit $2
"""
_MARK_PUBLISHED = """
with acked as (select * from unnest($1::bigint[], $2::int[], $3::bigint[]) as t (id, partition, log_offset)),
done as (
  update outbox o set published_at = clock_timestamp(), partition = a.partition, log_offset = a.log_offset
  from acked a where o.id = a.id returning o.topic, o.partition, o.log_offset, o.event_id
), firsts as (select topic, partition, min(log_offset) as log_offset from done group by topic, partition
), raised as (
  insert into log_checkpoints as m (kind, topic, partition, log_offset, event_id)
  select distinct on (topic, partition) 'published', topic, partition, log_offset, event_id from done
  order by topic, partition, log_offset desc
  on conflict (kind, topic, partition) do update set log_offset = excluded.log_offset, event_id = excluded.event_id, at = clock_timestamp()
  where m.log_offset < (select f.log_offset from firsts f where (f.topic, f.partition) = (m.topic, m.partition))
  returning topic, partition
)
select exists (select topic, partition from firsts except select topic, partition from raised)
"""
"""True: a record came to lie at or before the last one that is known of its log; its mark stays as
it was.
"""
_REPUBLISH = """
with lost as (delete from log_checkpoints where kind = 'published' and topic = $1 and partition = $2)
update outbox set published_at = null where topic = $1 and partition = $2 and published_at is not null
"""
_BACKLOG = """
select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0) as age from outbox where published_at is null
"""


class SendFailed(Exception):
    """Some events of a batch were not acknowledged; they stay unmarked."""


class SentBatch(NamedTuple):
    """Rows that went to one partition in one batch of the client, and its answer to come: the first
    one's offset.
    """

    rows: Sequence[asyncpg.Record]
    partition: int
    ack: "asyncio.Future[RecordMetadata]"


Acknowledged = tuple[int, int, int]
"""(id of the row, partition, offset)."""


async def _acknowledged(sent_batches: Sequence[SentBatch]) -> list[Acknowledged]:
    """What the broker has of one partition, up to the first batch that failed: what follows it
    would leave out of order.
    """
    acked: list[Acknowledged] = []
    acks = await asyncio.gather(
        *(sent_batch.ack for sent_batch in sent_batches), return_exceptions=True
    )
    for sent_batch, ack in zip(sent_batches, acks, strict=True):
        if (
            isinstance(ack, BaseException) or ack.offset < 0
        ):  # no offset: the broker had it already and forgot where
            break
        acked += [
            (row["id"], sent_batch.partition, ack.offset + n)
            for n, row in enumerate(sent_batch.rows)
        ]
    return acked


DISCONNECT_ERRORS = (
    KafkaError,
    SendFailed,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
"""What a broker or a database does to a relay when it goes away."""


class Relay:
    """Sends one service's outbox. Run any number: each shard has one owner at a time.

    `linger_seconds`: after a few events it looks for more only so much later, when more go at once
    and cost less together. For a service whose news nobody waits for.
    """

    def __init__(
        self, database: Database, settings: Settings, *, linger_seconds: float = 0.0
    ) -> None:
        self._database, self._settings, self._linger_seconds = database, settings, linger_seconds
        self._wake = asyncio.Event()
        self._shards: list[int] = []
        self._connection: asyncpg.Connection | None = None
        self._producer: AIOKafkaProducer | None = None
        self._checked_at = float("-inf")
        self._failures = 0

    @property
    def service(self) -> str:
        return self._database.schema

    @property
    def channel(self) -> str:
        return f"outbox_{self._database.schema}"

    @property
    def owns_all(self) -> bool:
        """No other process sends for this service."""
        return len(self._shards) == OUTBOX_SHARDS

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. Every error is answered by starting afresh after a pause."""
        try:
            while True:
                try:
                    await self._session()
                except DISCONNECT_ERRORS as error:
                    log.warning(
                        "relay restarting", service=self.service, **telemetry.describe(error)
                    )
                except Exception as error:
                    # Whatever it is, a relay that ended would be worse: the process lives on for
                    # months.
                    log.error(
                        "relay failed, restarting",
                        service=self.service,
                        **telemetry.describe(error),
                    )
                await self._close()
                await asyncio.sleep(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)])
                self._failures += 1
        finally:
            await self._close()

    async def _session(self) -> None:
        await self._acquire_shards()
        # A broker that lost its disk has lost its topics too.
        await create_topics(self._settings)
        while True:
            if monotonic_seconds() - self._checked_at > LOG_CHECK_SECONDS:
                await self._acquire_more_shards()
                await self._check_logs()
            self._wake.clear()
            if await self._send_batch() < RELAY_BATCH_MAX:
                await asyncio.sleep(self._linger_seconds)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_INTERVAL_SECONDS)

    async def _acquire_shards(self) -> None:
        """Connect and wait until at least one shard is ours. The locks live as long as the
        connection.
        """
        self._connection = await direct_connection(
            self._database.url, self._database.schema, f"fengping-relay-{self.service}"
        )
        # A mark that a crash takes back means one repetition more; waiting for the disk would hold
        # up every batch for it.
        await self._connection.execute("set synchronous_commit = off")
        await self._connection.add_listener(self.channel, lambda *_: self.wake())
        self._checked_at = float("-inf")
        while not await self._acquire_more_shards():  # noqa: ASYNC110  # only the database knows when an owner is gone
            await asyncio.sleep(0.5)

    async def _acquire_more_shards(self) -> bool:
        assert self._connection
        for shard in set(range(OUTBOX_SHARDS)) - set(self._shards):
            if await self._connection.fetchval(
                "select pg_try_advisory_lock($1)", advisory_lock_key("relay", self.service, shard)
            ):
                self._shards.append(shard)
        telemetry.relay_shards.labels(self.service).set(len(self._shards))
        return bool(self._shards)

    async def _send_batch(self) -> int:
        assert self._connection
        rows = await self._connection.fetch(_PENDING, self._shards, RELAY_BATCH_MAX)
        if not rows:
            self._failures = 0
            return 0
        failpoint("relay.after_select")
        acked, failed = await self._send(rows)
        failpoint("relay.after_ack")
        if acked:
            if await self._connection.fetchval(
                _MARK_PUBLISHED, *map(list, zip(*acked, strict=True))
            ):
                # Another log, most likely: looked at now, before it grows past the mark that tells
                # them apart.
                self._checked_at = float("-inf")
            failpoint("relay.after_mark_published")
            self._record_metrics(rows, acked)
        if failed:
            raise SendFailed(f"{failed} of {len(rows)} events not acknowledged")
        self._failures = 0
        return len(rows)

    async def _send(self, rows: Sequence[asyncpg.Record]) -> tuple[list[Acknowledged], int]:
        """Send rows in order; gives what may be marked, and how many failed."""
        producer = await self._current_producer()
        by_partition: dict[TopicPartition, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            by_partition[self._topic_partition(row)].append(row)
        async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
            sent = await asyncio.gather(
                *(self._send_partition(producer, tp, group) for tp, group in by_partition.items())
            )
            failpoint("relay.after_send")
            acked = list(
                chain.from_iterable([await _acknowledged(sent_batches) for sent_batches in sent])
            )
        return acked, len(rows) - len(acked)

    def _topic_partition(self, row: asyncpg.Record) -> TopicPartition:
        partition = partition_of(row["key"].encode(), self._settings.topic_partitions)
        return TopicPartition(self._settings.topic_prefix + row["topic"], partition)

    async def _send_partition(
        self, producer: AIOKafkaProducer, tp: TopicPartition, rows: Sequence[asyncpg.Record]
    ) -> list[SentBatch]:
        """Give the client the rows of one partition in as few batches as they fit in."""
        sent_batches: list[SentBatch] = []
        start = 0
        while start < len(rows):
            batch, end = producer.create_batch(), start
            while end < len(rows) and batch.append(**self._record(rows[end])) is not None:
                end += 1
            ack = await producer.send_batch(batch, tp.topic, partition=tp.partition)
            sent_batches.append(SentBatch(rows[start:end], tp.partition, ack))
            start = end
        return sent_batches

    def _record(self, row: asyncpg.Record) -> dict[str, Any]:
        headers = write_headers(
            event_id=row["event_id"],
            service=self.service,
            type=row["type"],
            key=row["key"],
            version=row["version"],
            occurred_at=row["occurred_at"],
            created_at=row["created_at"],
            trace=row["trace"],
        )
        return {
            "key": row["key"].encode(),
            "value": row["body"],
            "headers": headers,
            "timestamp": None,
        }

    async def _current_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **client_options(self._settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=PRODUCE_BYTES_MAX,
                request_timeout_ms=10_000,
                client_id=f"fengping-relay-{self.service}",
            )
            async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
                await producer.start()
            self._producer = producer
        return self._producer

    def _record_metrics(
        self, rows: Sequence[asyncpg.Record], acked: Sequence[Acknowledged]
    ) -> None:
        done = {row_id for row_id, _, _ in acked}
        for topic, count in Counter(row["topic"] for row in rows if row["id"] in done).items():
            telemetry.events_published.labels(self.service, topic).inc(count)

    async def _check_logs(self) -> None:
        """Send again what a broker lost: the last acknowledged record of each partition must still
        be there.
        """
        assert self._connection
        checkpoints = await self._connection.fetch(
            "select topic, partition, log_offset, event_id from log_checkpoints where kind = 'published'"
        )
        prefix = self._settings.topic_prefix
        expected = {
            TopicPartition(prefix + m["topic"], m["partition"]): (
                m["log_offset"],
                str(m["event_id"]),
            )
            for m in checkpoints
        }
        for partition in await lost_partitions(self._settings, expected):
            status = await self._connection.execute(
                _REPUBLISH, unprefixed_topic(partition.topic), partition.partition, timeout=300
            )
            telemetry.log_losses.labels(self.service, unprefixed_topic(partition.topic)).inc()
            log.error(
                "Kafka log truncated, republishing",
                topic=partition.topic,
                partition=partition.partition,
                count=int(status.split()[-1]),
            )
        self._checked_at = monotonic_seconds()

    async def backlog(self) -> tuple[int, float]:
        """(events not acknowledged, age of the oldest in seconds); also sets the gauges."""
        async with self._database.transaction() as tx:
            row = await tx.fetchrow(_BACKLOG)
        assert row
        telemetry.outbox_pending.labels(self.service).set(row["count"])
        telemetry.outbox_oldest_seconds.labels(self.service).set(float(row["age"]))
        return row["count"], float(row["age"])

    async def _close(self) -> None:
        """Let go of producer and connection; broken off in the middle, the next call does the rest."""
        self._shards = []
        producer, self._producer = self._producer, None
        if producer:
            await close_quietly(producer.stop(), seconds=3)
        connection, self._connection = self._connection, None
        if connection:
            with suppress(Exception):
                await connection.close(timeout=3)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of an aggregate. Said by us: the client library's own hash is written in Python
    and costs more than the rest.
    """
    return crc32(key) % partitions


async def lost_partitions(
    settings: Settings, expected: dict[TopicPartition, tuple[int, str]]
) -> list[TopicPartition]:
    """Which partitions no longer hold the record they should, given the (offset, event id) known of
    each.

    A record that aged out by retention is not a loss: the log then begins after it.
    """
    if not expected:
        return []
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        max_partition_fetch_bytes=65_536,
        group_id=None,
    )
    try:
        async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
            await consumer.start()
            ends = await consumer.end_offsets(list(expected))
            begins = await consumer.beginning_offsets(list(expected))
            return [
                tp
                for tp, (offset, event_id) in expected.items()
                if await _is_lost(consumer, tp, offset, event_id, begins[tp], ends[tp])
            ]
    finally:
        await consumer.stop()


async def _is_lost(
    consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int, event_id: str, begin: int, end: int
) -> bool:
    if end <= offset:
        return True
    if begin > offset:
        return False
    consumer.assign([tp])
    consumer.seek(tp, offset)
    record = await asyncio.wait_for(consumer.getone(tp), 5)
    try:
        return record.offset != offset or str(read(record).meta.event_id) != event_id
    except RecordDecodeError:
        return True
