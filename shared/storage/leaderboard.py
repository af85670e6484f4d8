"""Live rankings in Redis sorted sets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from shared.storage.redis import CacheUnavailable, translate_cache_errors

# ── boards ────────────────────────────────────────────────────────────────────────────────────────

# A board that is not there must not come back with one unit on it: only `rebuild` makes one.
_PUT: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[1], unpack(ARGV))
return 1
"""
_PUT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
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
            async with translate_cache_errors():
                for start in range(0, len(pairs), _PUT_MAX):
                    args = [part for pair in pairs[start : start + _PUT_MAX] for part in pair]
                    kept = (
                        bool(await self._put(keys=[_board(campaign_id, category)], args=args))
                        and kept
                    )
        except CacheUnavailable:
            return False
        return kept

    async def top(
        self, campaign_id: str, category: str, limit: int | None = None
    ) -> list[LeaderboardEntry] | None:
        """The first `limit` entries (all when None). None: no board; read the database and
        `rebuild`.
        """
        try:
            async with translate_cache_errors():
                found: list[Any] = await self._redis.zrange(
                    _board(campaign_id, category), 0, (limit or 0) - 1, desc=True, withscores=True
                )
        except CacheUnavailable:
            return None
        return _ranked([(unit.decode(), float(score)) for unit, score in found]) or None

    async def rebuild(
        self, campaign_id: str, category: str, scores: Mapping[str, float]
    ) -> list[LeaderboardEntry]:
        """Replace the board by `scores` (unit id → score) in one step; gives its entries also with
        Redis away.
        """
        board, fresh = (
            _board(campaign_id, category),
            _board(campaign_id, category) + ":" + secrets.token_hex(8),
        )
        try:
            async with translate_cache_errors(), self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(board)
                if scores:
                    pipe.zadd(fresh, dict(scores))
                    pipe.rename(fresh, board)
                    pipe.expire(board, self._lifetime_seconds)
                await pipe.execute()
        except CacheUnavailable:
            pass  # A board is a copy: the caller has the numbers anyway.
        return _ranked(sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True))


def _board(campaign_id: str, category: str) -> str:
    return f"board:{campaign_id}:{category}"


def _ranked(ordered: list[tuple[str, float]]) -> list[LeaderboardEntry]:
    entries: list[LeaderboardEntry] = []
    for position, (unit_id, score) in enumerate(ordered, start=1):
        tied = bool(entries) and entries[-1].score == score
        entries.append(LeaderboardEntry(entries[-1].rank if tied else position, unit_id, score))
    return entries
