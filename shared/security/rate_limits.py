"""Rate limits in sliding windows, counted in Redis, or per process while Redis is unavailable.

See docs/decisions/rate-limits.md.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from redis.asyncio import Redis

from shared.foundation.clock import monotonic_seconds
from shared.storage.redis import CacheUnavailable, translate_cache_errors

# A sorted set per key contains the times of the uses in the window, by the clock of Redis. A use is
# counted under all its keys or none. A call that is repeated after a lost answer has the same use
# id and is not counted twice.
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
class RateLimit:
    """At most `times` uses of `key` within any `seconds`."""

    key: str
    times: int
    seconds: float

    def __post_init__(self) -> None:
        assert self.times >= 1, f"a rate limit allows at least one use, not {self.times}"
        assert self.seconds > 0, f"a rate limit has a window, not {self.seconds} s"


class LocalRateLimiter:
    """Sliding windows in this process, for the time that Redis is unavailable.

    Keeps at most `keys_max` keys and evicts the least recently used.
    """

    def __init__(
        self, clock: Callable[[], float] = monotonic_seconds, keys_max: int = 50_000
    ) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, *limits: RateLimit) -> int | None:
        """As `RateLimiter.hit`."""
        now = self._clock()
        waits = [self._wait(limit, now) for limit in limits]
        if any(waits):
            return max(1, math.ceil(max(waits)))
        for limit in limits:
            self._hits.setdefault(limit.key, deque()).append(now)
        return None

    def _wait(self, limit: RateLimit, now: float) -> float:
        hits = self._hits.setdefault(limit.key, deque())
        self._hits.move_to_end(limit.key)
        while len(self._hits) > self._keys_max:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - limit.seconds:
            hits.popleft()
        return hits[0] + limit.seconds - now if len(hits) >= limit.times else 0

    def undo_hit(self, key: str) -> None:
        """As `RateLimiter.undo_hit`."""
        if hits := self._hits.get(key):
            hits.pop()

    def forget(self, key: str) -> None:
        """As `RateLimiter.forget`."""
        self._hits.pop(key, None)


class RateLimiter:
    """Rate limits in sliding windows, shared by all processes.

    Keys are stored as keyed hashes, because they contain addresses and names; all replicas need the
    same `secret`. While Redis is unavailable the limit is `times` per process.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        secret: bytes,
        local: LocalRateLimiter | None = None,
    ) -> None:
        self._secret = hashlib.sha256(secret).digest()
        self._redis = redis
        self._hit = redis.register_script(_HIT)
        self._local = local or LocalRateLimiter()

    async def hit(self, *limits: RateLimit) -> int | None:
        """Count one use against every limit; return None, or the seconds to wait (≥ 1).

        A use that exceeds one limit is counted against none: repeated attempts do not prolong the
        wait, nor do they use up the limits of others.
        """
        hashed = [replace(limit, key=self._name(limit.key)) for limit in limits]
        try:
            async with translate_cache_errors():
                wait_ms = await self._hit_in_redis(hashed)
        except CacheUnavailable:
            return self._local.hit(*hashed)
        return max(1, math.ceil(wait_ms / 1000)) if wait_ms > 0 else None

    async def _hit_in_redis(self, limits: Sequence[RateLimit]) -> float:
        use_id = secrets.token_hex(8)
        arguments: list[str | int] = [use_id]
        for limit in limits:
            arguments += [limit.times, round(limit.seconds * 1000)]
        return float(await self._hit(keys=[limit.key for limit in limits], args=arguments))

    async def undo_hit(self, key: str) -> None:
        """Remove the last use of `key`."""
        name = self._name(key)
        self._local.undo_hit(name)
        try:
            async with translate_cache_errors():
                await self._redis.zpopmax(name)
        except CacheUnavailable:
            return  # One use too many is counted until the window has passed.

    async def forget(self, key: str) -> None:
        """Remove all uses of `key`, for instance after a successful sign-in."""
        name = self._name(key)
        self._local.forget(name)
        try:
            async with translate_cache_errors():
                await self._redis.delete(name)
        except CacheUnavailable:
            return  # The window empties by itself within minutes.

    async def mark(self, key: str, seconds: int) -> None:
        """Remember `key` for this time. While Redis is unavailable nothing is remembered."""
        try:
            async with translate_cache_errors():
                await self._redis.set(self._name(key), b"1", ex=seconds)
        except CacheUnavailable:
            return

    async def is_marked(self, key: str) -> bool:
        """Return whether `key` is remembered; False while Redis is unavailable."""
        try:
            async with translate_cache_errors():
                return bool(await self._redis.exists(self._name(key)))
        except CacheUnavailable:
            return False

    def _name(self, key: str) -> str:
        digest = hashlib.blake2b(key.encode(), key=self._secret, digest_size=16)
        return f"limit:{digest.hexdigest()}"
