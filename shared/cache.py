"""Redis, for what may be lost: sessions, rate limits, live boards.

Everything here works on when Redis is away or was emptied: the limiter counts in this process, a
board is rebuilt from the database, a session is not found and its owner signs in again. No key and
no value shows personal data.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from shared.clock import steady_seconds
from shared.telemetry import describe, log

CONNECT_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 1.0
CONNECTIONS_MAX: Final = 64


class CacheAway(Exception):
    """Redis cannot be reached; the message is a sentence for the person who asked (503, not 500)."""

    def __init__(self, sentence: str = "系统暂时繁忙，请稍后再试") -> None:
        super().__init__(sentence)


def connect(url: str) -> Redis:
    """A client of the Redis at `url` (redis://…, rediss://…, unix://…) that never waits long.

    Nothing is opened yet. A call costs at most about 3 s with Redis away (1 s for a free
    connection, two tries), then raises one of redis-py's errors. Values are bytes.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        # A connection that died while idle shows only when it is used: one more try, at once, on a
        # new one.
        retry=Retry(ConstantBackoff(0.02), 1),
        health_check_interval=30,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def reaching(sentence: str | None = None) -> AsyncIterator[None]:
    """Turn every way in which Redis can be away (down, too slow, loading, full, read-only) into
    `CacheAway`.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        _tell(error)
        raise (CacheAway(sentence) if sentence else CacheAway()) from error


_SILENT_SECONDS: Final = 10.0
_told: list[float] = []


def _tell(error: BaseException) -> None:
    """One line in the log for an outage, not one for each request that meets it."""
    now = steady_seconds()
    if not _told or now - _told[0] >= _SILENT_SECONDS:
        _told[:] = [now]
        log.warning("cache is away", **describe(error))


# ── rate limits ───────────────────────────────────────────────────────────────────────────────────

# One sorted set per key holds the instants of the uses inside the window, by Redis' own clock. A
# use is counted under all its keys or under none, and a question repeated because its answer was
# lost finds itself counted already.
_HIT: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local use, longest = ARGV[1], 0
for i, key in ipairs(KEYS) do
  local times, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  if not redis.call('ZSCORE', key, use) and redis.call('ZCARD', key) >= times then
    local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    longest = math.max(longest, oldest[2] + window - now)
  end
end
if longest > 0 then return longest end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'NX', now, use)
  redis.call('PEXPIRE', key, ARGV[2 * i + 1])
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """What `key` names may be used at most `times` within any `seconds`."""

    key: str
    times: int
    seconds: float

    def __post_init__(self) -> None:
        assert self.times >= 1, f"a limit of at least one use, not {self.times}"
        assert self.seconds > 0, f"a window of some length, not {self.seconds} s"


class LocalLimiter:
    """The same sliding windows in this process alone, for as long as Redis is away.

    At most `keys_max` keys are remembered; the one hit longest ago is forgotten first.
    """

    def __init__(self, clock: Callable[[], float] = steady_seconds, keys_max: int = 50_000) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, *limits: Limit) -> int | None:
        """As `Limiter.hit`."""
        now = self._clock()
        waits = [self._wait(limit, now) for limit in limits]
        if any(waits):
            return max(1, math.ceil(max(waits)))
        for limit in limits:
            self._hits.setdefault(limit.key, deque()).append(now)
        return None

    def _wait(self, limit: Limit, now: float) -> float:
        hits = self._hits.setdefault(limit.key, deque())
        self._hits.move_to_end(limit.key)
        while len(self._hits) > self._keys_max:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - limit.seconds:
            hits.popleft()
        return hits[0] + limit.seconds - now if len(hits) >= limit.times else 0

    def take_back(self, key: str) -> None:
        """As `Limiter.take_back`."""
        if hits := self._hits.get(key):
            hits.pop()

    def forget(self, key: str) -> None:
        """As `Limiter.forget`."""
        self._hits.pop(key, None)


class Limiter:
    """How often something may be done within a sliding window, counted for all processes together.

    `secret` keys the hash under which a key is stored (an address or a name must not stand in
    Redis): give all replicas the same one. With Redis away each process counts alone, so the bound
    is `times` per process, never none.
    """

    def __init__(self, redis: Redis, *, secret: bytes, local: LocalLimiter | None = None) -> None:
        self._secret = hashlib.sha256(secret).digest()
        self._redis = redis
        self._hit = redis.register_script(_HIT)
        self._local = local or LocalLimiter()

    async def hit(self, *limits: Limit) -> int | None:
        """Count one use against every limit: None when it is within all of them, else whole seconds
        to wait (≥ 1).

        A use that one of them refuses is counted against none. So who keeps trying is let in as
        soon as the oldest counted use is past, and fills nobody else's measure meanwhile.
        """
        named = [Limit(self._name(limit.key), limit.times, limit.seconds) for limit in limits]
        sizes = [size for limit in named for size in (limit.times, round(limit.seconds * 1000))]
        try:
            async with reaching():
                wait_ms = float(
                    await self._hit(
                        keys=[limit.key for limit in named], args=[secrets.token_hex(8), *sizes]
                    )
                )
        except CacheAway:
            return self._local.hit(*named)
        return max(1, math.ceil(wait_ms / 1000)) if wait_ms > 0 else None

    async def take_back(self, key: str) -> None:
        """Do not count the last use of `key` after all."""
        name = self._name(key)
        self._local.take_back(name)
        try:
            async with reaching():
                await self._redis.zpopmax(name)
        except CacheAway:
            return  # One use too many is counted until the window has passed.

    async def forget(self, key: str) -> None:
        """Count `key` from zero again, for instance after a right password."""
        name = self._name(key)
        self._local.forget(name)
        try:
            async with reaching():
                await self._redis.delete(name)
        except CacheAway:
            return  # The window empties by itself; waiting some minutes longer harms nobody.

    def _name(self, key: str) -> str:
        return (
            "limit:" + hashlib.blake2b(key.encode(), key=self._secret, digest_size=16).hexdigest()
        )


# ── boards ────────────────────────────────────────────────────────────────────────────────────────

# A board that is not there must not come back with one unit on it: only `rebuild` makes one.
_PUT: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[1], unpack(ARGV))
return 1
"""
_PUT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """One line of a board. `rank` counts from 1; equal scores share it and the next rank is skipped
    (1, 2, 2, 4).
    """

    rank: int
    unit_id: str
    score: float


class Leaderboard:
    """Live order of the units of one campaign and category, highest score first: a copy, never the
    result.

    A board lives at most `lifetime_seconds`, then it is rebuilt by whoever reads it next. So a
    change that was told while somebody rebuilt from an older reading is wrong for no longer than
    that.
    """

    def __init__(self, redis: Redis, *, lifetime_seconds: int = 60) -> None:
        self._redis = redis
        self._lifetime_seconds = lifetime_seconds
        self._put = redis.register_script(_PUT)

    async def put(self, campaign_id: str, category: str, scores: Mapping[str, float]) -> bool:
        """Set the new scores of some units. False: there is no such board now (nothing was
        changed).
        """
        pairs = [(score, unit_id) for unit_id, score in scores.items()]
        kept = True
        try:
            async with reaching():
                for start in range(0, len(pairs), _PUT_MAX):
                    args = [part for pair in pairs[start : start + _PUT_MAX] for part in pair]
                    kept = (
                        bool(await self._put(keys=[_board(campaign_id, category)], args=args))
                        and kept
                    )
        except CacheAway:
            return False
        return kept

    async def top(
        self, campaign_id: str, category: str, limit: int | None = None
    ) -> list[Place] | None:
        """The first `limit` places (all when None). None: no board; read the database and
        `rebuild`.
        """
        try:
            async with reaching():
                found: list[Any] = await self._redis.zrange(
                    _board(campaign_id, category), 0, (limit or 0) - 1, desc=True, withscores=True
                )
        except CacheAway:
            return None
        return _places([(unit.decode(), float(score)) for unit, score in found]) or None

    async def rebuild(
        self, campaign_id: str, category: str, scores: Mapping[str, float]
    ) -> list[Place]:
        """Replace the board by `scores` (unit id → score) in one step; gives its places also with
        Redis away.
        """
        board, fresh = (
            _board(campaign_id, category),
            _board(campaign_id, category) + ":" + secrets.token_hex(8),
        )
        try:
            async with reaching(), self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(board)
                if scores:
                    pipe.zadd(fresh, dict(scores))
                    pipe.rename(fresh, board)
                    pipe.expire(board, self._lifetime_seconds)
                await pipe.execute()
        except CacheAway:
            pass  # A board is a copy: the caller has the numbers anyway.
        return _places(sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True))


def _board(campaign_id: str, category: str) -> str:
    return f"board:{campaign_id}:{category}"


def _places(ordered: list[tuple[str, float]]) -> list[Place]:
    places: list[Place] = []
    for position, (unit_id, score) in enumerate(ordered, start=1):
        tied = bool(places) and places[-1].score == score
        places.append(Place(places[-1].rank if tied else position, unit_id, score))
    return places
