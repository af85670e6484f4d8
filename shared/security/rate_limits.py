"""Rate limits, counted in Redis, or in this process while Redis is away."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from shared.foundation.clock import monotonic_seconds
from shared.storage.redis import CacheUnavailable, translate_cache_errors

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
class RateLimit:
    """What `key` names may be used at most `times` within any `seconds`."""

    key: str
    times: int
    seconds: float

    def __post_init__(self) -> None:
        assert self.times >= 1, f"a limit of at least one use, not {self.times}"
        assert self.seconds > 0, f"a window of some length, not {self.seconds} s"


class LocalRateLimiter:
    """The same sliding windows in this process alone, for as long as Redis is away.

    At most `keys_max` keys are remembered; the one hit longest ago is forgotten first.
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
    """How often something may be done within a sliding window, counted for all processes together.

    `secret` keys the hash under which a key is stored (an address or a name must not stand in
    Redis): give all replicas the same one. With Redis away each process counts alone, so the bound
    is `times` per process, never none.
    """

    def __init__(
        self, redis: Redis, *, secret: bytes, local: LocalRateLimiter | None = None
    ) -> None:
        self._secret = hashlib.sha256(secret).digest()
        self._redis = redis
        self._hit = redis.register_script(_HIT)
        self._local = local or LocalRateLimiter()

    async def hit(self, *limits: RateLimit) -> int | None:
        """Count one use against every limit: None when it is within all of them, else whole seconds
        to wait (≥ 1).

        A use that one of them refuses is counted against none. So who keeps trying is let in as
        soon as the oldest counted use is past, and fills nobody else's measure meanwhile.
        """
        named = [RateLimit(self._name(limit.key), limit.times, limit.seconds) for limit in limits]
        sizes = [size for limit in named for size in (limit.times, round(limit.seconds * 1000))]
        try:
            async with translate_cache_errors():
                wait_ms = float(
                    await self._hit(
                        keys=[limit.key for limit in named], args=[secrets.token_hex(8), *sizes]
                    )
                )
        except CacheUnavailable:
            return self._local.hit(*named)
        return max(1, math.ceil(wait_ms / 1000)) if wait_ms > 0 else None

    async def undo_hit(self, key: str) -> None:
        """Do not count the last use of `key` after all."""
        name = self._name(key)
        self._local.undo_hit(name)
        try:
            async with translate_cache_errors():
                await self._redis.zpopmax(name)
        except CacheUnavailable:
            return  # One use too many is counted until the window has passed.

    async def forget(self, key: str) -> None:
        """Count `key` from zero again, for instance after a right password."""
        name = self._name(key)
        self._local.forget(name)
        try:
            async with translate_cache_errors():
                await self._redis.delete(name)
        except CacheUnavailable:
            return  # The window empties by itself; waiting some minutes longer harms nobody.

    def _name(self, key: str) -> str:
        return (
            "limit:" + hashlib.blake2b(key.encode(), key=self._secret, digest_size=16).hexdigest()
        )
