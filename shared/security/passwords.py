"""Password hashing with Argon2, off the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from functools import cache
from typing import Final

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

PASSWORD_MAX: Final = 256
_HASHER: Final = PasswordHash((Argon2Hasher(),))


async def hash_password(password: str) -> str:
    """Return the argon2id hash to store. Takes about 0.1 s in a thread."""
    return await asyncio.to_thread(_HASHER.hash, _password(password))


async def verify_password(password: str, stored: str | None) -> bool:
    """Return whether `stored` is the hash of `password`.

    For an unknown or disabled account `stored` is None: the same work is done, so that the time
    does not reveal which names exist.
    """
    return await asyncio.to_thread(_verify, _password(password), stored)


def _verify(password: str, stored: str | None) -> bool:
    try:
        matches = _HASHER.verify(password, stored or _dummy_hash())
    except UnknownHashError:
        return False
    return matches and stored is not None


def _password(text: str) -> str:
    # An input method may produce full-width characters: the same keys must be the same password.
    return unicodedata.normalize("NFKC", text[:PASSWORD_MAX])


@cache
def _dummy_hash() -> str:
    return _HASHER.hash(secrets.token_urlsafe())
