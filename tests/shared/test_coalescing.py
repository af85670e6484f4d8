"""Concurrent items share a batch; no item waits for others or gets another's result or error."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.foundation.coalescing import Coalescer


class RecordedWork:
    """Records its batches; each runs until `release` is set."""

    def __init__(self, *, max_batch: int = 64, max_concurrency: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.release = asyncio.Event()
        self.submit = Coalescer(
            self._process,
            max_batch=max_batch,
            max_concurrency=max_concurrency,
            is_fatal=lambda error: isinstance(error, ConnectionError),
        )

    async def _process(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.release.wait()
        if -1 in items:
            raise ZeroDivisionError
        if -2 in items:
            raise ConnectionError
        return [ValueError(str(item)) if item == 13 else 10 * item for item in items]


async def test_single_item_is_processed_at_once() -> None:
    work = RecordedWork()
    work.release.set()

    assert await asyncio.wait_for(work.submit(4), 1) == 40
    assert work.batches == [[4]]


async def test_items_that_arrive_during_a_batch_share_the_next() -> None:
    work = RecordedWork()
    first = asyncio.create_task(work.submit(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(work.submit(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0.01)
    assert work.batches == [[1]], "no item is answered by a batch that began before it arrived"
    work.release.set()

    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert work.batches == [[1], [2, 3, 4]]


async def test_full_batch_leaves_the_rest_for_the_next() -> None:
    work = RecordedWork(max_batch=2, max_concurrency=2)
    tasks = [asyncio.create_task(work.submit(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    assert work.batches == [[0, 1], [2, 3]]
    work.release.set()

    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]


async def test_exception_result_is_raised_for_its_item_only() -> None:
    work = RecordedWork()
    work.release.set()

    one, rejected, other = await asyncio.gather(
        *map(work.submit, (1, 13, 2)), return_exceptions=True
    )

    assert (one, other) == (10, 20)
    assert isinstance(rejected, ValueError)
    assert len(work.batches) == 1


async def test_unexpected_error_reaches_only_its_own_caller() -> None:
    work = RecordedWork()
    work.release.set()

    one, unexpected, other = await asyncio.gather(
        *map(work.submit, (1, -1, 2)), return_exceptions=True
    )

    assert (one, other) == (10, 20)
    assert isinstance(unexpected, ZeroDivisionError)
    assert work.batches == [[1, -1, 2], [1], [-1], [2]]


async def test_fatal_error_reaches_every_caller_at_once() -> None:
    work = RecordedWork()
    work.release.set()

    answers = await asyncio.gather(*map(work.submit, (1, -2, 2)), return_exceptions=True)

    assert all(isinstance(answer, ConnectionError) for answer in answers)
    assert len(work.batches) == 1


async def test_cancelled_caller_does_not_affect_the_others() -> None:
    work = RecordedWork()
    tasks = [asyncio.create_task(work.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    work.release.set()

    assert await tasks[1] == 20
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_batch_runs_in_an_empty_context() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: list[str] = []

    async def record(items: Sequence[int]) -> list[int]:
        seen.append(request.get())
        return list(items)

    request.set("a request")
    await Coalescer(record)(1)

    assert seen == ["none"]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=60),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_every_item_gets_its_own_result_whenever_it_arrives(
    arrivals: list[tuple[int, int]], max_batch: int, max_concurrency: int
) -> None:
    running = 0

    async def work(items: Sequence[int]) -> list[int]:
        nonlocal running
        running += 1
        assert running <= max_concurrency
        assert 1 <= len(items) <= max_batch
        for _ in range(sum(items) % 4):
            await asyncio.sleep(0)
        running -= 1
        return [item * item for item in items]

    async def ask(coalescer: Coalescer[int, int], item: int, pauses: int) -> int:
        for _ in range(pauses):
            await asyncio.sleep(0)
        return await coalescer(item)

    async def all_of_them() -> list[int]:
        coalescer = Coalescer(work, max_batch=max_batch, max_concurrency=max_concurrency)
        return await asyncio.gather(*(ask(coalescer, item, pauses) for item, pauses in arrivals))

    assert asyncio.run(all_of_them()) == [item * item for item, _ in arrivals]
