"""Live leaderboards in Redis sorted sets."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from redis.asyncio import Redis

from shared.storage.redis import CacheUnavailable, translate_cache_errors

# Only `rebuild` creates a board: an expired one must not reappear with a single unit.
_PUT: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[1], unpack(ARGV))
return 1
"""
_PUT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """One line of a board. `rank` starts at 1; equal scores share a rank (1, 2, 2, 4)."""

    rank: int
    unit_id: str
    score: float


class Leaderboard:
    """Ranking of the units of a campaign and category, highest score first. A cache, not a result.

    A board expires after `lifetime_seconds` and is rebuilt by the next reader. This bounds how long
    it may be wrong after an update that arrived during a rebuild.
    """

    def __init__(self, redis: Redis, *, lifetime_seconds: int = 60) -> None:
        self._redis = redis
        self._lifetime_seconds = lifetime_seconds
        self._put = redis.register_script(_PUT)

    async def put(
        self,
        campaign_id: str,
        category: str,
        scores: Mapping[str, float],
    ) -> bool:
        """Set new scores of some units; return False if there is no such board."""
        board = _board(campaign_id, category)
        try:
            async with translate_cache_errors():
                found = [await self._put(keys=[board], args=args) for args in _put_args(scores)]
        except CacheUnavailable:
            return False
        return all(found)

    async def top(
        self,
        campaign_id: str,
        category: str,
        limit: int | None = None,
    ) -> list[LeaderboardEntry] | None:
        """Return the first `limit` entries, or all; None if the board must be rebuilt."""
        board = _board(campaign_id, category)
        last = limit - 1 if limit else -1
        try:
            async with translate_cache_errors():
                found: list[Any] = await self._redis.zrange(
                    board,
                    0,
                    last,
                    desc=True,
                    withscores=True,
                )
        except CacheUnavailable:
            return None
        return _ranked([(unit.decode(), float(score)) for unit, score in found]) or None

    async def rebuild(
        self,
        campaign_id: str,
        category: str,
        scores: Mapping[str, float],
    ) -> list[LeaderboardEntry]:
        """Replace the board by `scores` (unit id → score) and return its entries.

        Works without Redis too: then only the return value.
        """
        with suppress(CacheUnavailable):  # the caller has the scores anyway
            async with translate_cache_errors():
                await self._replace(_board(campaign_id, category), scores)
        return _ranked(_highest_first(scores))

    async def _replace(self, board: str, scores: Mapping[str, float]) -> None:
        fresh = f"{board}:{secrets.token_hex(8)}"
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(board)
            if scores:
                pipe.zadd(fresh, dict(scores))
                pipe.rename(fresh, board)
                pipe.expire(board, self._lifetime_seconds)
            await pipe.execute()


def _board(campaign_id: str, category: str) -> str:
    return f"board:{campaign_id}:{category}"


def _put_args(scores: Mapping[str, float]) -> Iterator[list[float | str]]:
    """Yield score, unit, score, unit … for one call of the script each."""
    pairs: list[tuple[float | str, ...]] = [(score, unit) for unit, score in scores.items()]
    for start in range(0, len(pairs), _PUT_MAX):
        yield list(chain.from_iterable(pairs[start : start + _PUT_MAX]))


def _highest_first(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the scores in the order of a sorted set read from its end."""
    return sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)


def _ranked(ordered: list[tuple[str, float]]) -> list[LeaderboardEntry]:
    entries: list[LeaderboardEntry] = []
    for position, (unit_id, score) in enumerate(ordered, start=1):
        tied = bool(entries) and entries[-1].score == score
        rank = entries[-1].rank if tied else position
        entries.append(LeaderboardEntry(rank, unit_id, score))
    return entries
