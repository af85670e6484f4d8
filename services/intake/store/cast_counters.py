"""How many ballots a batch brought lately, from how many sources: counted in Redis, briefly.

The database has no time and no source of a ballot, and a row that is written with the ballot would
lead to it. So the counts live in Redis, apart from the ballot, under the batch: a minute's total, a
ten minutes' count for each source, a day's count for each unit whose staff used the source. A
source is a keyed hash whose key changes with batch and time, so that sources of two batches or two
periods cannot be compared. Everything expires. Without Redis nothing is counted.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from redis.asyncio import Redis

from services.intake.domain.integrity.facts import RecentCasts
from shared.storage.redis import CacheUnavailable, translate_cache_errors

WINDOW_MINUTES: Final = 4
SOURCE_MINUTES: Final = 10
KEPT_SECONDS: Final = 20 * 60
STAFF_SECONDS: Final = 24 * 3600
DIGEST_BYTES: Final = 12


class CastCounters:
    """Counts of ballots by batch, time and source. No method raises while Redis is unavailable."""

    def __init__(self, redis: Redis, *, secret: bytes) -> None:
        self._redis = redis
        self._secret = secret

    async def record(
        self,
        batch_id: UUID,
        source: str,
        *,
        now: datetime,
    ) -> None:
        """Count a ballot of a batch from a source (network and browser)."""
        minute = _minute(now)
        period = minute // SOURCE_MINUTES
        sources = f"cast-sources:{batch_id}:{period}"
        try:
            async with translate_cache_errors():
                unit = await self._redis.get(self._staff_key(source))
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.incr(f"cast:{batch_id}:{minute}")
                    pipe.expire(f"cast:{batch_id}:{minute}", KEPT_SECONDS)
                    pipe.hincrby(sources, self._digest(f"{batch_id}/{period}", source), 1)
                    pipe.expire(sources, KEPT_SECONDS + SOURCE_MINUTES * 60)
                    if unit is not None:
                        pipe.hincrby(f"cast-staff:{batch_id}", unit, 1)
                        pipe.expire(f"cast-staff:{batch_id}", STAFF_SECONDS)
                    await pipe.execute()
        except CacheUnavailable:
            return

    async def mark_staff_source(self, source: str, unit_id: str | None) -> None:
        """Remember for a day that staff of a unit (None: of none) signed in from a source."""
        try:
            async with translate_cache_errors():
                await self._redis.set(self._staff_key(source), unit_id or "", ex=STAFF_SECONDS)
        except CacheUnavailable:
            return

    async def recent(
        self,
        batch_ids: Sequence[UUID],
        *,
        now: datetime,
    ) -> dict[UUID, RecentCasts]:
        """Return the counts of each batch, none of a batch while Redis is unavailable."""
        try:
            async with translate_cache_errors():
                return {id: await self._recent(id, _minute(now)) for id in batch_ids}
        except CacheUnavailable:
            return {}

    async def _recent(self, batch_id: UUID, minute: int) -> RecentCasts:
        minutes = [f"cast:{batch_id}:{minute - back}" for back in range(WINDOW_MINUTES)]
        period = minute // SOURCE_MINUTES
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.mget(minutes)
            for at in (period - 1, period):
                pipe.hvals(f"cast-sources:{batch_id}:{at}")
            pipe.hgetall(f"cast-staff:{batch_id}")
            totals, before, lately, staff = await pipe.execute()
        return RecentCasts(
            in_window=sum(int(total) for total in totals if total),
            **_busiest([int(count) for count in before], [int(count) for count in lately]),
            by_staff=_counts(staff),
        )

    def _staff_key(self, source: str) -> str:
        return f"staff-source:{self._digest('staff', source)}"

    def _digest(self, scope: str, source: str) -> str:
        text = f"{scope}/{source}".encode()
        return hmac.digest(self._secret, text, sha256)[:DIGEST_BYTES].hex()


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // 60


def _busiest(*periods: Sequence[int]) -> dict[str, int]:
    """Return the counts of the period in which one source cast most ballots."""
    counts = max(periods, key=lambda counts: max(counts, default=0))
    return {"recent": sum(counts), "largest_source": max(counts, default=0)}


def _counts(staff: Mapping[bytes, bytes]) -> dict[str, int]:
    return {unit.decode(): int(count) for unit, count in staff.items()}
