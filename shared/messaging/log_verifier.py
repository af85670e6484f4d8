"""Verification of newly assigned partitions: is this still the log that was consumed before?"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.foundation.settings import Settings
from shared.foundation.telemetry import log, log_failure
from shared.messaging.batches import Batch, Incoming, last_offsets, partition_of
from shared.messaging.logs import lost_partitions
from shared.messaging.store import checkpoints
from shared.messaging.store.checkpoints import LogCheckpoint
from shared.storage.connections import Database
from shared.storage.errors import retry_while_unavailable

VERIFICATION_TIMEOUT_SECONDS = 30.0
"""Records wait this long for the verification of their log; then they are fetched again."""


class LogVerifier:
    """Rewinds partitions whose log was replaced, before their first record is processed."""

    def __init__(
        self,
        kafka: Callable[[], AIOKafkaConsumer],
        database: Database,
        settings: Settings,
        *,
        topics: Sequence[str],
        group: str,
    ) -> None:
        self._kafka = kafka
        self._database = database
        self._settings = settings
        self._topics = topics
        self._group = group
        self._verified = asyncio.Event()
        self._failed = False

    def restart(self) -> None:
        """Wait for the verification of a new client."""
        self._failed = False
        self._verified.clear()

    def invalidate(self) -> None:
        """Other partitions will be assigned: wait for their verification."""
        self._verified.clear()

    def raise_if_failed(self) -> None:
        """Raise KafkaError if the verification failed; the consumer is then replaced."""
        if self._failed:
            raise KafkaError("logs could not be verified")

    async def verify(self, assigned: Iterable[TopicPartition]) -> None:
        """Verify the logs of newly assigned partitions; never raises, see `raise_if_failed`."""
        try:
            await self._rewind_replaced_logs(set(assigned))
        except Exception as error:
            log_failure("logs not verified", error, expected=True, group=self._group)
            self._failed = True
        self._verified.set()

    async def _rewind_replaced_logs(self, assigned: set[TopicPartition]) -> None:
        self._check_topics_exist()
        known = await retry_while_unavailable(self._consumed_checkpoints)
        expected = {tp: checkpoint for tp, checkpoint in known.items() if tp in assigned}
        for tp in await lost_partitions(self._settings, self._database.schema, expected):
            await self._rewind(tp)

    async def _rewind(self, tp: TopicPartition) -> None:
        log.error(
            "Kafka log replaced, reading from its start",
            group=self._group,
            topic=tp.topic,
            partition=tp.partition,
        )
        await self._kafka().seek_to_beginning(tp)
        async with self._database.transaction() as tx:
            await checkpoints.delete_consumed(tx, tp)

    def _check_topics_exist(self) -> None:
        """Raise KafkaError if the broker was wiped and its topics are not created again.

        The group leader assigned no partitions of topics that it did not know, and nothing would
        trigger another assignment.
        """
        partitions_for_topic = self._kafka().partitions_for_topic
        missing = [topic for topic in self._topics if not partitions_for_topic(topic)]
        if missing:
            raise KafkaError(f"{len(missing)} topics were missing when partitions were assigned")

    async def _consumed_checkpoints(self) -> dict[TopicPartition, LogCheckpoint]:
        async with self._database.transaction() as tx:
            return await checkpoints.consumed(tx)

    async def without_rewound(self, batch: Batch) -> Batch:
        """Wait for the verification, then return `batch` without the records to be fetched again.

        Those lie behind the position of a partition that was rewound. Raises KafkaError or
        TimeoutError if the logs could not be verified.
        """
        async with asyncio.timeout(VERIFICATION_TIMEOUT_SECONDS):
            await self._verified.wait()
        self.raise_if_failed()
        rewound = await self._rewound_positions(batch)
        if not rewound:
            return batch
        return [item for item in batch if not _is_rewound(item, rewound)]

    async def _rewound_positions(self, batch: Batch) -> dict[TopicPartition, int]:
        consumer = self._kafka()
        positions: dict[TopicPartition, int] = {}
        for tp, last_offset in last_offsets(batch).items():
            if tp in consumer.assignment():
                position = await consumer.position(tp)
                if position <= last_offset:
                    positions[tp] = position
        return positions


def _is_rewound(item: Incoming, rewound: Mapping[TopicPartition, int]) -> bool:
    position = rewound.get(partition_of(item))
    return position is not None and item.record.offset >= position
