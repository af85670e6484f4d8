"""The outbox as the relay sees it. Rows are inserted by `shared.storage.transaction`."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

import asyncpg
import msgspec
from aiokafka import TopicPartition

from shared.messaging.store.checkpoints import LogCheckpoint
from shared.storage.transaction import Transaction

REPUBLISH_TIMEOUT_SECONDS = 300.0

_PENDING = """
select id, event_id, topic, key, version, type, body, trace, occurred_at, created_at
from outbox where published_at is null and shard = any($1::smallint[]) order by id limit $2
"""
_MARK_PUBLISHED = """
with acked as (
  select * from unnest($1::bigint[], $2::int[], $3::bigint[]) as t (id, partition, log_offset)
), done as (
  update outbox o
  set published_at = clock_timestamp(), partition = a.partition, log_offset = a.log_offset
  from acked a where o.id = a.id returning o.topic, o.partition, o.log_offset, o.event_id
), firsts as (
  select topic, partition, min(log_offset) as log_offset from done group by topic, partition
), raised as (
  insert into log_checkpoints as m (kind, topic, partition, log_offset, event_id)
  select distinct on (topic, partition) 'published', topic, partition, log_offset, event_id
  from done order by topic, partition, log_offset desc
  on conflict (kind, topic, partition) do update
  set log_offset = excluded.log_offset, event_id = excluded.event_id, at = clock_timestamp()
  where m.log_offset <
    (select f.log_offset from firsts f where (f.topic, f.partition) = (m.topic, m.partition))
  returning topic, partition
)
select exists (select topic, partition from firsts except select topic, partition from raised)
"""
_REPUBLISH = """
with lost as (
  delete from log_checkpoints where kind = 'published' and topic = $1 and partition = $2
)
update outbox set published_at = null
where topic = $1 and partition = $2 and published_at is not null
"""
_CHECKPOINTS = """
select topic, partition, log_offset, event_id from log_checkpoints where kind = 'published'
"""
_BACKLOG = """
select count(*) as pending,
  coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as oldest_seconds
from outbox where published_at is null
"""
_MARK_UNPUBLISHED = """
update outbox set published_at = null
where topic = $1 and key = $2 and version between $3 and $4 and published_at is not null
"""


class OutboxRow(msgspec.Struct, frozen=True):
    """An event that is to be published."""

    id: int
    event_id: UUID
    topic: str
    key: str
    version: int
    type: str
    body: bytes
    trace: str | None
    occurred_at: datetime
    created_at: datetime


class Acknowledged(NamedTuple):
    """An outbox row that the broker has stored, and where."""

    id: int
    partition: int
    offset: int


class Backlog(NamedTuple):
    """Events that the broker has not acknowledged, and the age of the oldest in seconds."""

    pending: int
    oldest_seconds: float


async def pending(
    connection: asyncpg.Connection,
    shards: Sequence[int],
    limit: int,
) -> list[OutboxRow]:
    """Return the first unpublished rows of `shards`, in the order of their ids."""
    return [OutboxRow(*row) for row in await connection.fetch(_PENDING, shards, limit)]


async def mark_published(connection: asyncpg.Connection, acked: Sequence[Acknowledged]) -> bool:
    """Mark rows published; return True if the log may have been replaced.

    True means that a record was stored at or before the last known record of its partition, whose
    checkpoint then stays unchanged.
    """
    columns = map(list, zip(*acked, strict=True))
    return cast(bool, await connection.fetchval(_MARK_PUBLISHED, *columns))


async def published_checkpoints(
    connection: asyncpg.Connection, topic_prefix: str
) -> dict[TopicPartition, LogCheckpoint]:
    """Return the last acknowledged record of each partition."""
    return {
        TopicPartition(topic_prefix + topic, partition): LogCheckpoint(offset, str(event_id))
        for topic, partition, offset, event_id in await connection.fetch(_CHECKPOINTS)
    }


async def republish(
    connection: asyncpg.Connection,
    topic: str,
    partition: int,
) -> int:
    """Mark all rows of a lost partition unpublished; return their number."""
    status = await connection.execute(
        _REPUBLISH, topic, partition, timeout=REPUBLISH_TIMEOUT_SECONDS
    )
    return int(status.split()[-1])


async def backlog(tx: Transaction) -> Backlog:
    """Return how much is unpublished."""
    row = await tx.fetchrow(_BACKLOG)
    assert row
    return Backlog(*row)


async def mark_unpublished(
    tx: Transaction,
    topic: str,
    key: str,
    *,
    from_version: int,
    to_version: int,
) -> int:
    """Have the relay send these versions of an aggregate again; return their number."""
    return await tx.run(_MARK_UNPUBLISHED, topic, key, from_version, to_version)
