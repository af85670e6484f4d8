"""Who comes at the same moment goes together; nobody waits for company, nobody gets another's
answer or another's trouble.
"""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.foundation.coalescing import Coalescer


class Ferry:
    """Takes whoever is there; each crossing lasts as long as the test wants."""

    def __init__(self, *, max_batch: int = 64, max_concurrency: int = 1) -> None:
        self.crossings: list[list[int]] = []
        self.landing = asyncio.Event()
        self.board = Coalescer(
            self._cross,
            max_batch=max_batch,
            max_concurrency=max_concurrency,
            is_fatal=lambda error: isinstance(error, ConnectionError),
        )

    async def _cross(self, people: Sequence[int]) -> list[int | Exception]:
        self.crossings.append(list(people))
        await self.landing.wait()
        if -1 in people:
            raise ZeroDivisionError
        if -2 in people:
            raise ConnectionError
        return [ValueError(str(person)) if person == 13 else 10 * person for person in people]


async def test_who_comes_alone_goes_alone_and_at_once() -> None:
    ferry = Ferry()
    ferry.landing.set()

    assert await asyncio.wait_for(ferry.board(4), 1) == 40
    assert ferry.crossings == [[4]]


async def test_who_comes_during_a_crossing_shares_the_next() -> None:
    ferry = Ferry()
    first = asyncio.create_task(ferry.board(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(ferry.board(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0.01)
    assert ferry.crossings == [[1]], (
        "an answer is never taken from work that began before the question"
    )
    ferry.landing.set()

    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert ferry.crossings == [[1], [2, 3, 4]]


async def test_a_full_ferry_leaves_the_rest_for_the_next() -> None:
    ferry = Ferry(max_batch=2, max_concurrency=2)
    tasks = [asyncio.create_task(ferry.board(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    assert ferry.crossings == [[0, 1], [2, 3]]
    ferry.landing.set()

    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]


async def test_a_refusal_is_for_its_asker_alone() -> None:
    ferry = Ferry()
    ferry.landing.set()

    one, refused, other = await asyncio.gather(
        *map(ferry.board, (1, 13, 2)), return_exceptions=True
    )

    assert (one, other) == (10, 20)
    assert isinstance(refused, ValueError)
    assert len(ferry.crossings) == 1


async def test_an_unexpected_error_reaches_only_its_own_caller() -> None:
    ferry = Ferry()
    ferry.landing.set()

    one, unexpected, other = await asyncio.gather(
        *map(ferry.board, (1, -1, 2)), return_exceptions=True
    )

    assert (one, other) == (10, 20)
    assert isinstance(unexpected, ZeroDivisionError)
    assert ferry.crossings == [[1, -1, 2], [1], [-1], [2]]


async def test_a_fatal_error_reaches_every_caller_at_once() -> None:
    ferry = Ferry()
    ferry.landing.set()

    answers = await asyncio.gather(*map(ferry.board, (1, -2, 2)), return_exceptions=True)

    assert all(isinstance(answer, ConnectionError) for answer in answers)
    assert len(ferry.crossings) == 1


async def test_one_who_goes_away_leaves_the_others_their_answers() -> None:
    ferry = Ferry()
    tasks = [asyncio.create_task(ferry.board(n)) for n in (1, 2)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    ferry.landing.set()

    assert await tasks[1] == 20
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_work_for_many_runs_in_nobodys_context() -> None:
    request: ContextVar[str] = ContextVar("request", default="nobody")
    seen: list[str] = []

    async def look(people: Sequence[int]) -> list[int]:
        seen.append(request.get())
        return list(people)

    request.set("somebody")
    await Coalescer(look)(1)

    assert seen == ["nobody"]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=60),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_everybody_gets_their_own_answer_whenever_they_come(
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
