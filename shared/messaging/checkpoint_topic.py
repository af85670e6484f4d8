"""Reads the checkpoints of audit logs that Kafka keeps."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.appraisal.events import CheckpointPublished, decode
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging.kafka_access import ADMIN
from shared.messaging.topics import client_options

READ_TIMEOUT_SECONDS: Final = 60.0
POLL_MILLISECONDS: Final = 500


async def read_published_checkpoints(settings: Settings) -> list[str]:
    """Return every checkpoint in the topic as a signed note, with the administrator's rights.

    The events' own authentication is not checked: keys of events retire, and a checkpoint is
    signed with the key of its log. Raises KafkaError, or TimeoutError if the broker is too slow.
    """
    consumer = AIOKafkaConsumer(
        **client_options(settings, ADMIN), enable_auto_commit=False, group_id=None
    )
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            await consumer.start()
            return await _read_to_end(consumer, _partitions(settings))
    finally:
        await consumer.stop()


def _partitions(settings: Settings) -> list[TopicPartition]:
    topic = settings.topic_prefix + CheckpointPublished.topic
    return [TopicPartition(topic, number) for number in range(settings.topic_partitions)]


async def _read_to_end(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> list[str]:
    ends = await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    notes: list[str] = []
    while not await _is_at_end(consumer, ends):
        fetched = await consumer.getmany(timeout_ms=POLL_MILLISECONDS)
        for records in fetched.values():
            notes += [_note_of(record.value or b"") for record in records]
    return [note for note in notes if note]


async def _is_at_end(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    return all([await consumer.position(each) >= end for each, end in ends.items()])


def _note_of(body: bytes) -> str:
    """Return the note in a record; empty for a record that is not a checkpoint."""
    try:
        event = decode(CheckpointPublished.name, body)
    except ValueError:
        log.warning("record on the topic of checkpoints is not one")
        return ""
    assert isinstance(event, CheckpointPublished)
    return event.note
