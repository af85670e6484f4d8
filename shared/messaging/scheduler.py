"""Batch scheduling: several batches at once, never two of one partition."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shared.messaging.batches import Batch, Incoming, last_offsets, split_by_partition

CONCURRENT_BATCHES_MAX = 3
"""One batch would leave the processor idle while the database works; more would only wait."""


class BatchScheduler:
    """Runs `process` on batches whose partitions are free."""

    def __init__(self, process: Callable[[Batch], Coroutine[Any, Any, None]]) -> None:
        self._process = process
        self._in_progress: dict[asyncio.Task[None], Batch] = {}
        self._queued: list[list[Incoming]] = []
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether batches are no longer accepted."""
        return self._stopping

    def resume(self) -> None:
        """Accept batches again after `drain`."""
        self._stopping = False

    async def schedule(self, batch: list[Incoming]) -> None:
        """Start processing `batch`; return when all of it has started, or on stop.

        The caller then fetches the next batch while this one is processed.
        """
        self._queued = split_by_partition(batch)
        while self._queued and not self._stopping:
            chunk = next((each for each in self._queued if self._can_start(each)), None)
            if chunk is None:
                await asyncio.wait(self._in_progress, return_when=asyncio.FIRST_COMPLETED)
                continue
            self._queued.remove(chunk)
            self._start(chunk)

    def _can_start(self, chunk: Batch) -> bool:
        if len(self._in_progress) >= CONCURRENT_BATCHES_MAX:
            return False
        partitions = last_offsets(chunk).keys()
        in_progress = self._in_progress.values()
        return all(partitions.isdisjoint(last_offsets(other)) for other in in_progress)

    def _start(self, chunk: Batch) -> None:
        task = asyncio.create_task(self._process(chunk))
        self._in_progress[task] = chunk
        task.add_done_callback(self._in_progress.pop)

    @property
    def in_flight(self) -> int:
        """Number of records that were fetched and are not processed."""
        return sum(len(chunk) for chunk in (*self._in_progress.values(), *self._queued))

    async def drain(self, timeout_seconds: float) -> None:
        """Start nothing more and wait for the running batches."""
        self._stopping = True
        if self._in_progress:
            await asyncio.wait(self._in_progress, timeout=timeout_seconds)

    def cancel(self) -> None:
        """Cancel the running batches and drop the queued ones."""
        for task in self._in_progress:
            task.cancel()
        self._queued = []
