"""One-time codes by time (TOTP, RFC 6238), as every authenticator app computes them."""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

SECRET_BYTES: Final = 20
DIGITS: Final = 6
STEP_SECONDS: Final = 30
DRIFT_STEPS: Final = 1
"""A telephone's clock may be this many steps slow or fast."""


def new_secret() -> bytes:
    """Return a new shared secret of 160 random bits."""
    return secrets.token_bytes(SECRET_BYTES)


def time_step(now: datetime) -> int:
    """Return the number of the time step that contains `now`."""
    return int(now.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    """Return the six-digit code of a time step."""
    return _totp(secret).generate(step * STEP_SECONDS).decode()


def matching_step(
    secret: bytes,
    code: str,
    now: datetime,
    *,
    after: int,
) -> int | None:
    """Return the time step that `code` belongs to, or None if it is wrong.

    `after` is the step of the last accepted code: that step and older ones match no more, so that a
    code seen over somebody's shoulder is worthless once it was used.
    """
    current = time_step(now)
    oldest = max(current - DRIFT_STEPS, after + 1)
    matching = None
    # Every step is compared: the time reveals nothing.
    for step in range(oldest, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            matching = step
    return matching


def provisioning_uri(
    secret: bytes,
    *,
    account: str,
    issuer: str,
) -> str:
    """Return the `otpauth://` URI that authenticator apps read from a QR code."""
    return _totp(secret).get_provisioning_uri(account, issuer)


def secret_text(secret: bytes) -> str:
    """Return the secret for typing into an app, in groups of four letters."""
    text = b32encode(secret).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)
