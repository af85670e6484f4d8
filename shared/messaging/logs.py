"""Comparing Kafka logs with the checkpoints that identify them."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.foundation.settings import Settings
from shared.messaging.envelope import Record, RecordDecodeError, read
from shared.messaging.store.checkpoints import LogCheckpoint
from shared.messaging.topics import client_options

LOG_TIMEOUT_SECONDS = 15.0
RECORD_TIMEOUT_SECONDS = 5.0
FETCH_BYTES_MAX = 65_536


async def lost_partitions(
    settings: Settings,
    service: str,
    expected: Mapping[TopicPartition, LogCheckpoint],
) -> list[TopicPartition]:
    """Return the partitions whose log does not hold the record of their checkpoint.

    A record that expired by retention is not a loss: the log then begins after it.
    """
    if not expected:
        return []
    consumer = _create_reader(settings, service)
    try:
        async with asyncio.timeout(LOG_TIMEOUT_SECONDS):
            await consumer.start()
            return await _lost_on_broker(consumer, expected)
    finally:
        await consumer.stop()


def _create_reader(settings: Settings, service: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **client_options(settings, service),
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        group_id=None,
    )


async def _lost_on_broker(
    consumer: AIOKafkaConsumer, expected: Mapping[TopicPartition, LogCheckpoint]
) -> list[TopicPartition]:
    ends = await consumer.end_offsets(list(expected))
    begins = await consumer.beginning_offsets(list(expected))
    return [
        tp
        for tp, checkpoint in expected.items()
        if await _is_lost(consumer, tp, checkpoint, begin=begins[tp], end=ends[tp])
    ]


async def _is_lost(
    consumer: AIOKafkaConsumer,
    tp: TopicPartition,
    checkpoint: LogCheckpoint,
    *,
    begin: int,
    end: int,
) -> bool:
    if end <= checkpoint.offset:
        return True
    if begin > checkpoint.offset:
        return False
    consumer.assign([tp])
    consumer.seek(tp, checkpoint.offset)
    record = await asyncio.wait_for(consumer.getone(tp), RECORD_TIMEOUT_SECONDS)
    return not _is_at(checkpoint, record)


def _is_at(checkpoint: LogCheckpoint, record: Record) -> bool:
    """Return whether `record` is the one that the checkpoint names."""
    try:
        event_id = str(read(record).meta.event_id)
    except RecordDecodeError:
        return False
    return record.offset == checkpoint.offset and event_id == checkpoint.event_id
