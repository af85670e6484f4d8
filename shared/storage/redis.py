"""Redis, for data that may be lost: sessions, rate limits, leaderboards.

If Redis is unavailable or was emptied, the limiter counts in this process, a leaderboard is rebuilt
from the database, and users must sign in again; no other state is affected. Keys and values contain
no personal data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from shared.foundation.clock import monotonic_seconds
from shared.foundation.telemetry import describe, log

CONNECT_TIMEOUT_SECONDS: Final = 0.5
RESPONSE_TIMEOUT_SECONDS: Final = 1.0
CONNECTIONS_MAX: Final = 64


class CacheUnavailable(Exception):
    """Redis is unavailable; the message is shown to the user, with status 503."""

    def __init__(self, sentence: str = "系统暂时繁忙，请稍后再试") -> None:
        super().__init__(sentence)


def connect(url: str) -> Redis:
    """Return a client of the Redis at `url` (redis://…, rediss://…, unix://…).

    It connects on first use. While Redis is unavailable a call takes at most about 3 s (1 s for a
    free connection, two attempts), then raises one of redis-py's errors. Values are bytes.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=RESPONSE_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=RESPONSE_TIMEOUT_SECONDS,
        # A connection that broke while idle is noticed when it is used: retry once, at once.
        retry=Retry(ConstantBackoff(0.02), 1),
        health_check_interval=30,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def translate_cache_errors(sentence: str | None = None) -> AsyncIterator[None]:
    """Raise `CacheUnavailable` if Redis is down, too slow, loading, full or read-only."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        _log_outage(error)
        raise (CacheUnavailable(sentence) if sentence else CacheUnavailable()) from error


_OUTAGE_LOG_SECONDS: Final = 10.0
_logged_at: list[float] = []


def _log_outage(error: BaseException) -> None:
    """Log an outage at most every 10 seconds, not once per request."""
    now = monotonic_seconds()
    if not _logged_at or now - _logged_at[0] >= _OUTAGE_LOG_SECONDS:
        _logged_at[:] = [now]
        log.warning("cache unavailable", **describe(error))
