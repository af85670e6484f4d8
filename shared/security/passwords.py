"""Password hashing with Argon2, off the event loop and bounded.

A hash takes 64 MiB and a tenth of a second. Few run at once and few may wait, so a flood of wrong
passwords costs a bounded amount of memory and time. Callers hold no database connection meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

PASSWORD_MAX: Final = 256
HASHES_AT_ONCE: Final = 2
HASHES_WAITING_MAX: Final = 40
"""Beyond this the caller gets PasswordsBusy at once instead of a wait of several seconds."""
_HASHER: Final = PasswordHash((Argon2Hasher(),))
_POOL: Final = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="argon2")
ResultT = TypeVar("ResultT")


class PasswordsBusy(Exception):
    """Too many passwords are waiting to be hashed; the message is shown, with status 503."""

    def __init__(self) -> None:
        super().__init__("登录的人太多，请过几秒再试")


@dataclass(slots=True)
class _Queue:
    """How many hashes run or wait in this process."""

    length: int = 0


_queue: Final = _Queue()


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password to set, hashed before the transaction that stores it is opened."""

    text: str = field(repr=False)
    hash: str = field(repr=False)

    @classmethod
    async def of(cls, text: str) -> NewPassword:
        """Hash a password. Raises PasswordsBusy."""
        return cls(text, await hash_password(text))


def check_capacity() -> None:
    """Raise PasswordsBusy if the next hash would have to wait too long."""
    if _queue.length >= HASHES_AT_ONCE + HASHES_WAITING_MAX:
        raise PasswordsBusy


async def hash_password(password: str) -> str:
    """Return the argon2id hash to store. Takes about 0.1 s in a thread. Raises PasswordsBusy."""
    return await _in_pool(partial(_HASHER.hash, _password(password)))


async def verify_password(password: str, stored: str | None) -> bool:
    """Return whether `stored` is the hash of `password`. Raises PasswordsBusy.

    For an unknown or disabled account `stored` is None: the same work is done, so that the time
    does not reveal which names exist.
    """
    return await _in_pool(partial(_verify, _password(password), stored))


async def _in_pool(work: Callable[[], ResultT]) -> ResultT:
    check_capacity()
    _queue.length += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_POOL, work)
    finally:
        _queue.length -= 1


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
