"""Devices on which an account signed in before.

Somebody who tries passwords must not lock the owner out. A device that proves by a signed cookie
that this account signed in on it has its own budget of attempts, which nobody else can use up.

The cookie holds a random device id and a keyed hash per account, never a name. It signs nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

COOKIE: Final = "fengping_device"
COOKIE_HTTPS: Final = "__Host-fengping_device"
KEPT_SECONDS: Final = 180 * 24 * 3600
ACCOUNTS_MAX: Final = 8
"""Accounts that a shared computer remembers; the one that signed in first is forgotten first."""
_ID: Final = "[0-9a-f]{32}"
_COOKIE: Final = re.compile(rf"{_ID}(?:\.{_ID})*")


@dataclass(frozen=True, slots=True)
class DeviceCookie:
    """A device id and the marks of the accounts that signed in on the device."""

    device: str
    marks: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> DeviceCookie:
        """Return the cookie of a request; that of a new device if there is none or it is broken."""
        if not _COOKIE.fullmatch(text):
            return cls(secrets.token_hex(16), ())
        device, *marks = text.split(".")
        return cls(device, tuple(marks[-ACCOUNTS_MAX:]))

    @property
    def text(self) -> str:
        """The value of the cookie."""
        return ".".join((self.device, *self.marks))

    def knows(self, key: bytes, account_name: str) -> bool:
        """Return whether this account signed in on this device."""
        mark = _mark(key, self.device, account_name)
        return any(hmac.compare_digest(mark, each) for each in self.marks)

    def remember(self, key: bytes, account_name: str) -> DeviceCookie:
        """Return the cookie after this account signed in."""
        mark = _mark(key, self.device, account_name)
        others = [each for each in self.marks if each != mark]
        return DeviceCookie(self.device, (*others, mark)[-ACCOUNTS_MAX:])


def _mark(
    key: bytes,
    device: str,
    account_name: str,
) -> str:
    text = f"{device}/{account_name}".encode()
    return hmac.digest(key, text, hashlib.sha256).hex()[:32]
