"""Recovery codes: they replace a lost authenticator, each for one sign-in.

A code has 80 random bits. Stored are only keyed hashes; the key is outside the database.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from typing import Final

CODES: Final = 10
GROUPS: Final = 4
GROUP_CHARS: Final = 4
ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without the characters that are mistaken for each other: I, O, 0 and 1."""


def new_codes() -> list[str]:
    """Return new codes, such as `7KQX-M2PA-9TRE-HV4C`."""
    return [_new_code() for _ in range(CODES)]


def _new_code() -> str:
    chars = [secrets.choice(ALPHABET) for _ in range(GROUPS * GROUP_CHARS)]
    text = "".join(chars)
    groups = [text[start : start + GROUP_CHARS] for start in range(0, len(text), GROUP_CHARS)]
    return "-".join(groups)


def code_digest(key: bytes, code: str) -> bytes:
    """Return the keyed hash of a code, however it is typed."""
    folded = unicodedata.normalize("NFKC", code).upper()
    kept = "".join(filter(str.isalnum, folded))
    return hmac.digest(key, kept.encode(), hashlib.sha256)
