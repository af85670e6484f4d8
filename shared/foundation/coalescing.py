"""Coalesces concurrent calls into one batch call.

Context: a round trip to Redis or PostgreSQL costs the same for one item as for twenty, and under
load twenty arrive during one round trip.
Decision: while a batch runs, arriving items are queued and form the next batch. A single item is
never delayed. No item is answered by a batch that started before it arrived, so nothing is cached
and no result is stale.
Consequences: batches grow with the cost of the call and the load.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Coalescer(Generic[ItemT, ResultT]):
    """Passes concurrently submitted items to one call of `work`.

    `work` returns one result per item, in order; a result that is an exception is raised for that
    item only. If `work` raises, its items are retried one by one, so that a bad item fails alone;
    but if `is_fatal` says that the error would meet every item, it is raised for all of them. At
    most `max_batch` items share a call, and `max_concurrency` calls run at once.
    """

    def __init__(
        self,
        work: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        max_batch: int = 64,
        max_concurrency: int = 2,
        is_fatal: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_concurrency = max_concurrency
        self._is_fatal = is_fatal
        self._queue: deque[tuple[ItemT, asyncio.Future[ResultT]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._batch_starting = False

    async def __call__(self, item: ItemT) -> ResultT:
        """Return the result for `item`, or raise the exception that `work` returned or raised."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._start_batch()
        return await future

    def _start_batch(self) -> None:
        if not self._queue or self._batch_starting or len(self._running) >= self._max_concurrency:
            return
        self._batch_starting = True
        # An empty context: the batch belongs to no single request.
        task = asyncio.get_running_loop().create_task(self._run_batch(), context=Context())
        self._running.add(task)
        task.add_done_callback(self._batch_done)

    def _batch_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_batch()

    async def _run_batch(self) -> None:
        # Dequeued now, not when the task was created: later items join the batch.
        batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
        self._batch_starting = False
        self._start_batch()
        await self._resolve(batch)

    async def _resolve(self, batch: list[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not self._is_fatal(error):
                for entry in batch:
                    await self._resolve([entry])
                return
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # the caller was cancelled
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
