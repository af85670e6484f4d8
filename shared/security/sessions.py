"""Sessions of staff, kept in Redis.

Accounts belong to intake; the other services know a person only from the session. A session is
stored under the hash of its token and encrypted with a key derived from the token, so that a copy
of Redis admits nobody and names nobody. If Redis is lost, users must sign in again; no other state
is affected.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from shared.foundation.coalescing import Coalescer
from shared.security.policies import Account
from shared.security.token_store import decrypt, derive_key, encrypt
from shared.storage.redis import CacheUnavailable, translate_cache_errors

IDLE_SECONDS: Final = 30 * 60
ABSOLUTE_SECONDS: Final = 12 * 60 * 60
COOKIE: Final = "fengping_session"
COOKIE_HTTPS: Final = "__Host-fengping_session"

# The clock of Redis decides, so that all processes agree when a session ends.
_CREATE: Final = """
local t = redis.call('TIME')
local ends_at = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'ends_at', ends_at)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SADD', KEYS[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""
# Returns the encrypted account of each key, or '' if there is no session.
_FIND: Final = """
local t, sealed = redis.call('TIME'), {}
for i, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'sealed', 'ends_at')
  sealed[i] = ''
  if found[1] and found[2] then
    local left = tonumber(found[2]) - (t[1] * 1000 + math.floor(t[2] / 1000))
    if left <= 0 then
      redis.call('DEL', key)
    else
      sealed[i] = found[1]
      if ARGV[1 + i] == '1' then redis.call('PEXPIRE', key, ARGV[1]) end
    end
  end
end
return sealed
"""


class Sessions:
    """The sessions of an installation. A token is 256 random bits; Redis knows only its hash.

    A session ends after `idle_seconds` without a request, and at the latest `absolute_seconds`
    after signing in. With `https` the cookie has the prefix `__Host-`, which binds it to this host
    and to encrypted connections.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        idle_seconds: float = IDLE_SECONDS,
        absolute_seconds: float = ABSOLUTE_SECONDS,
        https: bool = False,
    ) -> None:
        self._redis = redis
        self._idle_ms = round(idle_seconds * 1000)
        self._absolute_ms = round(absolute_seconds * 1000)
        self._create = redis.register_script(_CREATE)
        self._find = redis.register_script(_FIND)
        self._coalesced_find: Coalescer[tuple[str, bool], Account | None] = Coalescer(
            self._find_all, is_fatal=lambda error: isinstance(error, CacheUnavailable)
        )
        self.https = https
        self.cookie = COOKIE_HTTPS if https else COOKIE

    async def create(self, account: Account) -> str:
        """Create a session and return its token, always a new one (no session fixation).

        Raises CacheUnavailable, with a sentence for the person, if the session cannot be stored.
        """
        token = secrets.token_urlsafe(32)
        keys = [_session_key(token), _account_index_key(account.id)]
        arguments: list[bytes | int] = [encrypt(token, account), self._absolute_ms, self._idle_ms]
        async with translate_cache_errors("登录服务暂时不可用，请稍后再试"):
            await self._create(keys=keys, args=arguments)
        return token

    async def find(self, token: str, *, touch: bool = True) -> Account | None:
        """Return the account of a session; None if it is unknown, over, or Redis is unavailable.

        Requests that a page makes without its user pass `touch=False`: they do not extend the
        session.
        """
        try:
            return await self._coalesced_find((token, touch))
        except CacheUnavailable:
            return None

    async def _find_all(self, lookups: Sequence[tuple[str, bool]]) -> list[Account | None]:
        touched: dict[str, bool] = {}
        for token, touch in lookups:
            touched[token] = touched.get(token, False) or touch
        async with translate_cache_errors():
            found = await self._find(
                keys=[_session_key(token) for token in touched],
                args=[self._idle_ms, *map(int, touched.values())],
            )
        accounts = {
            token: decrypt(token, sealed, Account) if sealed else None
            for token, sealed in zip(touched, found, strict=True)
        }
        return [accounts[token] for token, _ in lookups]

    async def revoke(self, token: str) -> None:
        """End a session. While Redis is unavailable nobody is signed in."""
        try:
            async with translate_cache_errors():
                await self._redis.delete(_session_key(token))
        except CacheUnavailable:
            return

    async def revoke_all(self, account_id: UUID, *, keep: str | None = None) -> None:
        """End every session of an account that was disabled or got a new role or password.

        `keep` is a token that stays valid (`退出其他设备`). Raises CacheUnavailable, so that a
        right is not believed withdrawn while sessions still exist.
        """
        async with translate_cache_errors("暂时无法结束该账号的登录状态，请稍后再试"):
            names = cast("set[bytes]", await self._redis.smembers(_account_index_key(account_id)))
            revoked = names - ({_session_key(keep).encode()} if keep else set())
            if revoked:
                await self._redis.delete(*revoked)
                await self._redis.srem(_account_index_key(account_id), *revoked)


def _session_key(token: str) -> str:
    return "session:" + hashlib.sha256(token.encode()).hexdigest()


def _account_index_key(account_id: UUID) -> str:
    return f"sessions:{account_id}"


# ── requests ──────────────────────────────────────────────────────────────────────────────────────


def csrf_token(token: str) -> str:
    """Return the CSRF token of a session, derived from the session token by a one-way function."""
    return derive_key(token, b"csrf").hex()


def csrf_token_matches(token: str, submitted: str) -> bool:
    """Return whether `submitted` is the CSRF token of the session."""
    return hmac.compare_digest(csrf_token(token).encode(), submitted.encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Credential:
    """The token of a request. Another site can make a browser send a cookie, not a bearer token."""

    token: str
    from_cookie: bool


def read_credential(request: HTTPConnection, cookie: str) -> Credential | None:
    """Return the token in `Authorization: Bearer …`, else in the cookie of this name."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Credential(bearer.strip(), from_cookie=False)
    token = request.cookies.get(cookie)
    return Credential(token, from_cookie=True) if token else None


async def authenticate(request: HTTPConnection, *, touch: bool = True) -> Account | None:
    """Return the account that sent the request. `touch` as in `Sessions.find`."""
    sessions: Sessions = request.app.state.sessions
    return await find_account(sessions, read_credential(request, sessions.cookie), touch=touch)


async def find_account(
    sessions: Sessions,
    credential: Credential | None,
    *,
    touch: bool,
) -> Account | None:
    """Return the account of a credential."""
    return await sessions.find(credential.token, touch=touch) if credential else None
