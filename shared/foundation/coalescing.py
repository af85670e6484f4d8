"""What is asked at the same moment is answered by one piece of work.

Context: a round trip to Redis or PostgreSQL costs the same for one question as for twenty, and
under load twenty come within its time.
Decision: while a piece of work is under way, those who come meanwhile wait for the next one and
share it. Nobody waits for company: who comes alone goes alone, at once. No question is answered by
work that began before it was asked, so nothing is remembered and nothing is ever out of date.
Consequences: the dearer the work is at a moment, the more share it; the load finds its own size of
batch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Coalescer(Generic[ItemT, ResultT]):
    """Answers items of one kind, those of the same moment by one call of `work`.

    `work` gives an answer for each item, in their order; an answer that is an exception is raised
    for its asker alone. When `work` itself raises, its items are tried again one by one, so that an
    item nobody foresaw is a trouble to its own asker only; unless `is_fatal` says that the error
    would meet each of them, then it is raised for all. At most `max_batch` items share a call, `max_concurrency`
    calls run at once.
    """

    def __init__(
        self,
        work: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        max_batch: int = 64,
        max_concurrency: int = 2,
        is_fatal: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._work, self._max_batch, self._max_concurrency, self._is_fatal = (
            work,
            max_batch,
            max_concurrency,
            is_fatal,
        )
        self._queue: deque[tuple[ItemT, asyncio.Future[ResultT]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._batch_starting = False

    async def __call__(self, item: ItemT) -> ResultT:
        """The answer to `item`. Raises what `work` answered or raised for it."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._start_batch()
        return await future

    def _start_batch(self) -> None:
        if not self._queue or self._batch_starting or len(self._running) >= self._max_concurrency:
            return
        self._batch_starting = True
        # In a context of its own: the work belongs to nobody's request.
        task = asyncio.get_running_loop().create_task(self._run_batch(), context=Context())
        self._running.add(task)
        task.add_done_callback(self._batch_done)

    def _batch_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_batch()

    async def _run_batch(self) -> None:
        # Taken now and not when the task was made: who came in between goes along.
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
                continue  # its asker has gone
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
