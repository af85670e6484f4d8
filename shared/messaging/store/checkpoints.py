"""Log checkpoints: the last known record of each partition, which identifies the log."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from shared.messaging.envelope import Aggregate, IncomingEvent
from shared.storage.transaction import Transaction

_SELECT = """
select topic, partition, log_offset, event_id from log_checkpoints where kind = 'consumed'
"""
_DELETE = """
delete from log_checkpoints where kind = 'consumed' and topic = $1 and partition = $2
"""


class LogCheckpoint(NamedTuple):
    """The record that a log is known to hold at `offset`."""

    offset: int
    event_id: str


async def consumed(tx: Transaction) -> dict[TopicPartition, LogCheckpoint]:
    """Return the last consumed record of each partition."""
    return {
        TopicPartition(topic, partition): LogCheckpoint(offset, str(event_id))
        for topic, partition, offset, event_id in await tx.fetch(_SELECT)
    }


async def delete_consumed(tx: Transaction, tp: TopicPartition) -> None:
    """Delete the checkpoint of a partition whose log was replaced."""
    await tx.run(_DELETE, tp.topic, tp.partition)


def record_progress(
    tx: Transaction,
    events: Sequence[IncomingEvent],
    versions: Mapping[Aggregate, int],
) -> None:
    """Have `tx` store the versions of the aggregates and the last record of each partition."""
    metas = [incoming.meta for incoming in events if incoming.record.offset >= 0]
    last = {(meta.topic, meta.partition): meta for meta in metas}
    tx.record_progress(
        [(topic, key, version) for (topic, key), version in versions.items()],
        [(meta.topic, meta.partition, meta.offset, meta.event_id) for meta in last.values()],
    )
