"""Limits and boards, on a real Valkey that is emptied, killed and frozen."""

import asyncio
import os
import signal
import time

import pytest
from redis.asyncio import Redis

from shared.embedded.valkey import Valkey
from shared.security.rate_limits import LocalRateLimiter, RateLimit, RateLimiter
from shared.storage.leaderboard import Leaderboard
from shared.storage.redis import (
    RESPONSE_TIMEOUT_SECONDS,
    CacheUnavailable,
    connect,
    translate_cache_errors,
)

SECRET = b"one secret for all replicas"


async def test_limit_admits_the_allowed_number_then_returns_the_wait(
    redis: Redis,
) -> None:
    limiter = RateLimiter(redis, secret=SECRET)

    answers = [await limiter.hit(RateLimit("form", 3, 60)) for _ in range(5)]

    assert answers[:3] == [None] * 3
    assert all(answer is not None and 59 <= answer <= 60 for answer in answers[3:])


async def test_limit_slides_and_refused_uses_are_not_counted(redis: Redis) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    assert await limiter.hit(RateLimit("form", 1, 1)) is None
    for _ in range(4):
        assert await limiter.hit(RateLimit("form", 1, 1)) == 1
        await asyncio.sleep(0.1)

    await asyncio.sleep(0.7)

    assert await limiter.hit(RateLimit("form", 1, 1)) is None


async def test_expired_use_admits_one_more(redis: Redis) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    assert await limiter.hit(RateLimit("form", 2, 1)) is None
    await asyncio.sleep(0.6)
    assert await limiter.hit(RateLimit("form", 2, 1)) is None

    await asyncio.sleep(0.5)

    assert await limiter.hit(RateLimit("form", 2, 1)) is None
    assert await limiter.hit(RateLimit("form", 2, 1)) == 1


async def test_many_processes_at_once_share_one_limit(redis: Redis, valkey: Valkey) -> None:
    clients = [connect(valkey.url) for _ in range(4)]
    limiters = [RateLimiter(client, secret=SECRET) for client in clients]

    answers = await asyncio.gather(
        *(limiters[n % 4].hit(RateLimit("form", 20, 60)) for n in range(400))
    )

    assert answers.count(None) == 20
    for client in clients:
        await client.aclose()


async def test_forgotten_key_counts_from_zero_and_others_do_not(redis: Redis) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    for key in ("a", "b"):
        assert await limiter.hit(RateLimit(key, 1, 60)) is None

    await limiter.forget("a")

    assert await limiter.hit(RateLimit("a", 1, 60)) is None
    assert await limiter.hit(RateLimit("b", 1, 60)) is not None


async def test_address_is_not_stored_in_redis(redis: Redis) -> None:
    await RateLimiter(redis, secret=SECRET).hit(RateLimit("login/203.0.113.7", 5, 60))

    keys = await redis.keys("*")

    assert len(keys) == 1
    assert b"203.0.113.7" not in keys[0]


async def test_limit_holds_in_this_process_when_redis_is_killed_and_when_it_is_back(
    redis: Redis, valkey: Valkey
) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    assert await limiter.hit(RateLimit("form", 3, 60)) is None

    valkey.kill()
    began = time.monotonic()
    away = [await limiter.hit(RateLimit("form", 3, 60)) for _ in range(5)]

    assert away[:3] == [None] * 3
    assert all(away[3:])
    assert time.monotonic() - began < 3
    await valkey.start()
    await redis.flushall()
    assert [await limiter.hit(RateLimit("form", 3, 60)) for _ in range(4)][:3] == [None] * 3


async def test_frozen_redis_costs_a_bounded_wait(redis: Redis, valkey: Valkey) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answers = await asyncio.gather(*(limiter.hit(RateLimit("form", 5, 60)) for _ in range(50)))
    finally:
        os.kill(valkey.pid, signal.SIGCONT)

    assert answers.count(None) == 5
    assert time.monotonic() - began < 4


async def test_use_repeated_after_a_lost_answer_is_counted_once(
    redis: Redis, valkey: Valkey
) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    assert await limiter.hit(RateLimit("form", 2, 60)) is None
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        asking = asyncio.create_task(limiter.hit(RateLimit("form", 2, 60)))
        await asyncio.sleep(
            RESPONSE_TIMEOUT_SECONDS + 0.3
        )  # Given up and sent once more; Redis, awake again, hears both.
    finally:
        os.kill(valkey.pid, signal.SIGCONT)

    assert await asking is None
    assert await limiter.hit(RateLimit("form", 2, 60)) is not None


async def test_use_refused_by_one_limit_is_counted_against_none(redis: Redis) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    network_limit, account_limit = (
        RateLimit("network_limit", 3, 60),
        RateLimit("account_limit", 1, 30),
    )

    answers = [await limiter.hit(network_limit, account_limit) for _ in range(5)]

    assert answers[0] is None
    assert all(answer is not None and 29 <= answer <= 30 for answer in answers[1:])
    assert [await limiter.hit(network_limit) for _ in range(3)][:2] == [None, None]


async def test_longest_wait_of_several_limits_is_returned(redis: Redis) -> None:
    limiter = RateLimiter(redis, secret=SECRET)
    for limit in (RateLimit("a", 1, 10), RateLimit("b", 1, 40)):
        assert await limiter.hit(limit) is None

    assert await limiter.hit(
        RateLimit("a", 1, 10), RateLimit("b", 1, 40), RateLimit("c", 1, 60)
    ) in (39, 40)


async def test_every_redis_error_becomes_one_sentence(redis: Redis) -> None:
    await redis.set("text", "not a set")

    with pytest.raises(CacheUnavailable, match="请稍后再试"):
        async with translate_cache_errors():
            await redis.zcard("text")


def test_local_limit_forgets_the_key_hit_longest_ago() -> None:
    now = [0.0]
    local = LocalRateLimiter(clock=lambda: now[0], keys_max=2)
    assert [
        local.hit(RateLimit("a", 1, 10)),
        local.hit(RateLimit("b", 1, 10)),
        local.hit(RateLimit("a", 1, 10)),
    ] == [None, None, 10]

    local.hit(RateLimit("c", 1, 10))  # "b" gives way

    assert local.hit(RateLimit("a", 1, 10)) == 10
    assert local.hit(RateLimit("b", 1, 10)) is None


def test_local_use_refused_by_one_limit_is_counted_against_none() -> None:
    local = LocalRateLimiter(clock=lambda: 0.0)
    network_limit, account_limit = (
        RateLimit("network_limit", 3, 60),
        RateLimit("account_limit", 1, 30),
    )

    assert [local.hit(network_limit, account_limit) for _ in range(5)] == [None, 30, 30, 30, 30]
    assert [local.hit(network_limit) for _ in range(3)] == [None, None, 60]


def test_local_limit_slides() -> None:
    now = [0.0]
    local = LocalRateLimiter(clock=lambda: now[0])
    for at in (0.0, 4.0):
        now[0] = at
        assert local.hit(RateLimit("a", 2, 10)) is None

    now[0] = 9.5
    assert local.hit(RateLimit("a", 2, 10)) == 1
    now[0] = 10.0
    assert local.hit(RateLimit("a", 2, 10)) is None
    assert local.hit(RateLimit("a", 2, 10)) == 4


async def test_board_orders_units_and_equal_scores_share_a_rank(redis: Redis) -> None:
    board = Leaderboard(redis)

    rebuilt = await board.rebuild(
        "2026", "政府", {"发改委": 94.31, "人社厅": 88.4, "教育厅": 90.0, "卫健委": 90.0}
    )

    assert await board.top("2026", "政府") == rebuilt
    assert [(place.rank, place.score) for place in rebuilt] == [
        (1, 94.31),
        (2, 90.0),
        (2, 90.0),
        (4, 88.4),
    ]
    assert await board.top("2026", "政府", limit=2) == rebuilt[:2]


async def test_new_scores_move_units_on_the_board(redis: Redis) -> None:
    board = Leaderboard(redis)
    await board.rebuild("2026", "政府", {"发改委": 94.31, "人社厅": 88.4})

    assert await board.put("2026", "政府", {"人社厅": 95.0, "教育厅": 90.0})

    places = await board.top("2026", "政府")
    assert places is not None
    assert [place.unit_id for place in places] == ["人社厅", "发改委", "教育厅"]


async def test_lost_board_is_not_shown_with_one_unit_but_rebuilt(redis: Redis) -> None:
    board = Leaderboard(redis)
    await board.rebuild("2026", "政府", {"发改委": 94.31, "人社厅": 88.4})
    await redis.flushall()

    assert not await board.put("2026", "政府", {"人社厅": 95.0})
    assert await board.top("2026", "政府") is None

    await board.rebuild("2026", "政府", {"发改委": 94.31, "人社厅": 95.0})
    places = await board.top("2026", "政府")
    assert places is not None
    assert len(places) == 2


async def test_board_expires(redis: Redis) -> None:
    await Leaderboard(redis, lifetime_seconds=60).rebuild("2026", "政府", {"发改委": 94.31})

    assert 0 < await redis.ttl("board:2026:政府") <= 60


async def test_board_without_redis_returns_nothing_and_raises_nothing(
    redis: Redis, valkey: Valkey
) -> None:
    board = Leaderboard(redis)
    valkey.kill()

    assert await board.top("2026", "政府") is None
    assert not await board.put("2026", "政府", {"人社厅": 95.0})
    assert [place.unit_id for place in await board.rebuild("2026", "政府", {"人社厅": 95.0})] == [
        "人社厅"
    ]
