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
AnswerT = TypeVar("AnswerT")


class Together(Generic[ItemT, AnswerT]):
    """Answers items of one kind, those of the same moment by one call of `work`.

    `work` gives an answer for each item, in their order; an answer that is an exception is raised
    for its asker alone. When `work` itself raises, its items are tried again one by one, so that an
    item nobody foresaw is a trouble to its own asker only; unless `hopeless` says that the error
    would meet each of them, then it is raised for all. At most `most` items share a call, `at_work`
    calls run at once.
    """

    def __init__(
        self,
        work: Callable[[Sequence[ItemT]], Awaitable[Sequence[AnswerT | Exception]]],
        *,
        most: int = 64,
        at_work: int = 2,
        hopeless: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._work, self._most, self._at_work_max, self._hopeless = work, most, at_work, hopeless
        self._waiting: deque[tuple[ItemT, asyncio.Future[AnswerT]]] = deque()
        self._at_work: set[asyncio.Task[None]] = set()
        self._about_to_take = False

    async def __call__(self, item: ItemT) -> AnswerT:
        """The answer to `item`. Raises what `work` answered or raised for it."""
        asked: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, asked))
        self._begin()
        return await asked

    def _begin(self) -> None:
        if not self._waiting or self._about_to_take or len(self._at_work) >= self._at_work_max:
            return
        self._about_to_take = True
        # In a context of its own: the work belongs to nobody's request.
        task = asyncio.get_running_loop().create_task(self._take(), context=Context())
        self._at_work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._begin()

    async def _take(self) -> None:
        # Taken now and not when the task was made: who came in between goes along.
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._about_to_take = False
        self._begin()
        await self._do(batch)

    async def _do(self, batch: list[tuple[ItemT, asyncio.Future[AnswerT]]]) -> None:
        try:
            answers = await self._work([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not self._hopeless(error):
                for one in batch:
                    await self._do([one])
                return
            answers = [error] * len(batch)
        for (_, asked), answer in zip(batch, answers, strict=True):
            if asked.done():
                continue  # its asker has gone
            if isinstance(answer, Exception):
                asked.set_exception(answer)
            else:
                asked.set_result(answer)
