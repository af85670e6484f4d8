"""Who is asking, and what may they do: roles, policies, passwords, sessions.

Accounts are kept by intake; every other service knows a person only from the session. A session
lives in Redis under the hash of its token and is encrypted with a key that only the token gives, so
that a copy of Redis lets nobody in and names nobody. Redis lost means signed out (401), never an
error.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from shared.foundation.coalescing import Coalescer
from shared.security.policies import Account
from shared.storage.redis import CacheUnavailable, translate_cache_errors

# ── sessions ──────────────────────────────────────────────────────────────────────────────────────

IDLE_SECONDS: Final = 30 * 60
ABSOLUTE_SECONDS: Final = 12 * 60 * 60
COOKIE: Final = "fengping_session"
COOKIE_HTTPS: Final = "__Host-fengping_session"

# Redis' own clock decides, so that all processes agree on when a session is over.
_CREATE: Final = """
local t = redis.call('TIME')
local ends_at = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'ends_at', ends_at)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SADD', KEYS[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""
# For each key what is sealed there, and '' where nothing is (any more).
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
    """Who is signed in. A token is 256 random bits; Redis knows only its hash.

    A session ends after `idle_seconds` without a request, and `absolute_seconds` after signing in
    whatever happens. `https` chooses the cookie's name: `__Host-` binds it to this host and to
    encrypted connections.
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
        self._idle_ms, self._absolute_ms = (
            round(idle_seconds * 1000),
            round(absolute_seconds * 1000),
        )
        self._create = redis.register_script(_CREATE)
        self._find = redis.register_script(_FIND)
        self._coalesced_find: Coalescer[tuple[str, bool], Account | None] = Coalescer(
            self._find_all, is_fatal=lambda error: isinstance(error, CacheUnavailable)
        )
        self.https = https
        self.cookie = COOKIE_HTTPS if https else COOKIE

    async def create(self, account: Account) -> str:
        """Sign `account` in and give the token, always a new one (a token set beforehand is never
        taken over).

        Raises CacheUnavailable, with a sentence for the person, when the session cannot be kept.
        """
        token = secrets.token_urlsafe(32)
        name = _session_key(token)
        arguments: list[bytes | int] = [_encrypt(token, account), self._absolute_ms, self._idle_ms]
        async with translate_cache_errors("登录服务暂时不可用，请稍后再试"):
            await self._create(keys=[name, _account_index_key(account.id)], args=arguments)
        return token

    async def find(self, token: str, *, touch: bool = True) -> Account | None:
        """Whose token is this? None when it is unknown, over, or Redis is away.

        `touch=False` for requests that a page makes by itself: they must not keep an abandoned
        session alive.
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
            token: _decrypt(token, sealed) if sealed else None
            for token, sealed in zip(touched, found, strict=True)
        }
        return [accounts[token] for token, _ in lookups]

    async def revoke(self, token: str) -> None:
        """Sign out. With Redis away nothing is left to do: nobody is signed in then."""
        try:
            async with translate_cache_errors():
                await self._redis.delete(_session_key(token))
        except CacheUnavailable:
            return

    async def revoke_all(self, account_id: UUID, *, keep: str | None = None) -> None:
        """End every session of an account: it was disabled, has another role, or a new password.

        `keep` is a token that stays valid (`退出其他设备`). Raises CacheUnavailable: whoever withdraws a
        right must know that it is not withdrawn yet.
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


def _encrypt(token: str, account: Account) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(_derive_key(token, b"session")).encrypt(
        nonce, msgspec.json.encode(account), None
    )


def _decrypt(token: str, sealed: bytes) -> Account | None:
    try:
        plain = AESGCM(_derive_key(token, b"session")).decrypt(sealed[:12], sealed[12:], None)
        return msgspec.json.decode(plain, type=Account)
    except (InvalidTag, ValueError):
        return None  # Something else wrote into this key, or an older version of this program did: sign in again.


def _derive_key(token: str, purpose: bytes) -> bytes:
    return hmac.digest(token.encode(), b"fengping/" + purpose, hashlib.sha256)


# ── request and session ───────────────────────────────────────────────────────────────────────────


def csrf_token(token: str) -> str:
    """What a form of this session must send back. It follows from the session token and does not
    lead back to it.
    """
    return _derive_key(token, b"csrf").hex()


def csrf_token_matches(token: str, submitted: str) -> bool:
    """Did the form come from this session?"""
    return hmac.compare_digest(csrf_token(token).encode(), submitted.encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Credential:
    """A token that came with a request. Only one that a cookie brought can be sent without its
    owner's will (CSRF).
    """

    token: str
    from_cookie: bool


def read_credential(request: HTTPConnection, cookie: str) -> Credential | None:
    """The token in `Authorization: Bearer …`, else in the cookie of this name."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Credential(bearer.strip(), from_cookie=False)
    token = request.cookies.get(cookie)
    return Credential(token, from_cookie=True) if token else None


async def authenticate(request: HTTPConnection, *, touch: bool = True) -> Account | None:
    """Who sent this request? Needs `request.app.state.sessions: Sessions`. `touch` as in
    `Sessions.find`.
    """
    sessions: Sessions = request.app.state.sessions
    return await find_account(sessions, read_credential(request, sessions.cookie), touch=touch)


async def find_account(
    sessions: Sessions, credential: Credential | None, *, touch: bool
) -> Account | None:
    """Whose credential is this?"""
    return await sessions.find(credential.token, touch=touch) if credential else None
