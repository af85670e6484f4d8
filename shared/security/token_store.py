"""Records that live for minutes in Redis, each found by a random token, such as a sign-in between
its password and its one-time code.

A record is stored under the hash of its token and encrypted with a key derived from the token, so a
copy of Redis reveals nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, Generic, TypeVar, cast

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from shared.storage.redis import translate_cache_errors

NONCE_BYTES: Final = 12
RecordT = TypeVar("RecordT")


class TokenStore(Generic[RecordT]):
    """Records of one kind, each kept for `seconds`. `name` separates the kinds.

    Every method raises CacheUnavailable.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        name: str,
        record_type: type[RecordT],
        seconds: int,
    ) -> None:
        self._redis = redis
        self._name = name
        self._type = record_type
        self.seconds = seconds

    async def create(self, record: RecordT) -> str:
        """Store a record and return its token, 256 random bits."""
        token = secrets.token_urlsafe(32)
        async with translate_cache_errors("登录服务暂时不可用，请稍后再试"):
            await self._redis.set(self._key(token), encrypt(token, record), ex=self.seconds)
        return token

    async def find(self, token: str) -> RecordT | None:
        """Return the record of a token, or None if it is unknown or over."""
        async with translate_cache_errors("登录服务暂时不可用，请稍后再试"):
            sealed = cast("bytes | None", await self._redis.get(self._key(token)))
        return decrypt(token, sealed, self._type) if sealed else None

    async def take(self, token: str) -> RecordT | None:
        """Return the record of a token and end it: of two callers, one gets it."""
        async with translate_cache_errors("登录服务暂时不可用，请稍后再试"):
            sealed = cast("bytes | None", await self._redis.getdel(self._key(token)))
        return decrypt(token, sealed, self._type) if sealed else None

    def _key(self, token: str) -> str:
        return f"{self._name}:{hashlib.sha256(token.encode()).hexdigest()}"


def encrypt(token: str, record: object) -> bytes:
    """Return the record as JSON, encrypted with a key derived from the token."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = AESGCM(derive_key(token, b"session"))
    return nonce + cipher.encrypt(nonce, msgspec.json.encode(record), None)


def decrypt(token: str, sealed: bytes, record_type: type[RecordT]) -> RecordT | None:
    """Return the record, or None if another version of this program wrote it."""
    cipher = AESGCM(derive_key(token, b"session"))
    try:
        plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        return msgspec.json.decode(plain, type=record_type)
    except (InvalidTag, ValueError):
        return None


def derive_key(token: str, purpose: bytes) -> bytes:
    """Return 32 bytes for a purpose, from which the token cannot be computed."""
    return hmac.digest(token.encode(), b"fengping/" + purpose, hashlib.sha256)
