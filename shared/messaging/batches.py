"""Batches of consumed records: decoding, splitting by partition, offsets."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import ConsumerRecord, TopicPartition

from shared.messaging.envelope import IncomingEvent, Record, RecordDecodeError, read
from shared.messaging.event_mac import EventVerifier

SPLIT_BATCH_FROM = 200
"""Smaller batches share one transaction: a commit costs more than waiting for each other."""


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A record whose origin is not proven, or whose envelope cannot be read."""

    record: Record
    error: RecordDecodeError


Incoming = IncomingEvent | MalformedRecord
Batch = Sequence[Incoming]


def read_all(
    records: Iterable[ConsumerRecord],
    consumed_types: Collection[str],
    verifier: EventVerifier,
) -> list[Incoming]:
    """Check the origin of `records`, read their envelopes, and decode the consumed types."""
    verifier.refresh()
    batch = [_read(record, verifier) for record in records]
    _decode_bodies(batch, consumed_types)
    return batch


def _read(record: ConsumerRecord, verifier: EventVerifier) -> Incoming:
    try:
        verifier.check(record)
        return read(record)
    except RecordDecodeError as error:
        return MalformedRecord(record, error)


def _decode_bodies(batch: Batch, consumed_types: Collection[str]) -> None:
    for item in batch:
        if isinstance(item, IncomingEvent) and item.meta.type in consumed_types:
            # A body that cannot be decoded raises again when the event is applied.
            with suppress(RecordDecodeError):
                item.event()


def partition_of(item: Incoming) -> TopicPartition:
    """Return the partition from which `item` was consumed."""
    return TopicPartition(item.record.topic, item.record.partition)


def last_offsets(batch: Iterable[Incoming]) -> dict[TopicPartition, int]:
    """Return the offset of the last record of each partition."""
    offsets = {(item.record.topic, item.record.partition): item.record.offset for item in batch}
    return {TopicPartition(*partition): offset for partition, offset in offsets.items()}


def first_offsets(batch: Batch) -> dict[TopicPartition, int]:
    """Return the offset of the first record of each partition."""
    return last_offsets(reversed(batch))


def split_by_partition(batch: list[Incoming]) -> list[list[Incoming]]:
    """Split a large batch by partition, so that partitions wait for the database independently."""
    if len(batch) < SPLIT_BATCH_FROM:
        return [batch]
    return list(_by_partition(batch).values())


def _by_partition(batch: Batch) -> dict[tuple[str, int], list[Incoming]]:
    chunks: dict[tuple[str, int], list[Incoming]] = defaultdict(list)
    for item in batch:
        chunks[item.record.topic, item.record.partition].append(item)
    return chunks
