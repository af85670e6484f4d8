"""Offset commits: explicit, after the transaction, for all finished batches together."""

import asyncio
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log_failure
from shared.messaging.batches import Batch, last_offsets

COMMIT_INTERVAL_SECONDS = 0.2
"""Time between commits. A crash in between causes repetitions, which the inbox recognises."""
COMMIT_TIMEOUT_SECONDS = 10.0


class OffsetCommitter:
    """Commits the offsets of processed batches every COMMIT_INTERVAL_SECONDS.

    `kafka` returns the running client. A commit that fails is only logged: the inbox knows what
    was processed.
    """

    def __init__(self, kafka: Callable[[], AIOKafkaConsumer], group: str) -> None:
        self._kafka = kafka
        self._group = group
        self._next_offsets: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, batch: Batch) -> None:
        """Commit the offsets of a processed batch soon."""
        for tp, offset in last_offsets(batch).items():
            self._next_offsets[tp] = offset + 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_loop())

    async def _commit_loop(self) -> None:
        while self._next_offsets:
            await asyncio.sleep(COMMIT_INTERVAL_SECONDS)
            await self.commit_now()

    async def commit_now(self) -> None:
        """Commit now. `AIOKafkaConsumer.commit` has no time-out of its own."""
        try:
            offsets = self._take_assigned_offsets()
            if offsets:
                async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                    await self._kafka().commit(offsets)
                failpoint("consumer.after_offset_commit")
        except (KafkaError, TimeoutError) as error:
            log_failure("offsets not committed", error, expected=True, group=self._group)

    def _take_assigned_offsets(self) -> dict[TopicPartition, int]:
        offsets = self._next_offsets
        self._next_offsets = {}
        assigned = self._kafka().assignment()
        return {tp: offset for tp, offset in offsets.items() if tp in assigned}

    def forget_partitions(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit nothing for partitions that another replica takes over."""
        for tp in revoked:
            self._next_offsets.pop(tp, None)

    def cancel(self) -> None:
        """Drop what was not committed; its records are delivered again."""
        self._next_offsets = {}
        if self._task is not None:
            self._task.cancel()
