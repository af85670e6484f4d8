"""Redis, for what may be lost: sessions, rate limits, live boards.

Everything here works on when Redis is away or was emptied: the limiter counts in this process, a
board is rebuilt from the database, a session is not found and its owner signs in again. No key and
no value shows personal data.
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
        timeout=RESPONSE_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=RESPONSE_TIMEOUT_SECONDS,
        # A connection that died while idle shows only when it is used: one more try, at once, on a
        # new one.
        retry=Retry(ConstantBackoff(0.02), 1),
        health_check_interval=30,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def translate_cache_errors(sentence: str | None = None) -> AsyncIterator[None]:
    """Turn every way in which Redis can be away (down, too slow, loading, full, read-only) into
    `CacheUnavailable`.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        _log_outage(error)
        raise (CacheUnavailable(sentence) if sentence else CacheUnavailable()) from error


_OUTAGE_LOG_SECONDS: Final = 10.0
_logged_at: list[float] = []


def _log_outage(error: BaseException) -> None:
    """One line in the log for an outage, not one for each request that meets it."""
    now = monotonic_seconds()
    if not _logged_at or now - _logged_at[0] >= _OUTAGE_LOG_SECONDS:
        _logged_at[:] = [now]
        log.warning("cache unavailable", **describe(error))
