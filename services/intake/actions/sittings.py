"""What a visitor typed into a public form so far, kept for two hours under a key that only their
browser has.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.domain.ballots import hashed_id
from services.intake.store import ballots as store
from shared.storage.transaction import Transaction

KEPT: Final = timedelta(hours=2)
NONCE_BYTES: Final = 12


def new_sitting() -> str:
    """A token for the visitor's cookie."""
    return secrets.token_urlsafe(32)


async def keep(tx: Transaction, token: str, body: dict[str, Any]) -> None:
    """Keep what was typed for two more hours."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(_key(token)).encrypt(nonce, msgspec.json.encode(body), None)
    await store.keep_sitting(tx, _id(token), sealed, tx.now + KEPT)


async def find(tx: Transaction, token: str) -> dict[str, Any]:
    """What was typed so far; {} when nothing was, or it is too long ago."""
    sealed = await store.sitting(tx, _id(token)) if token else None
    if sealed is None:
        return {}
    try:
        body: dict[str, Any] = msgspec.json.decode(
            AESGCM(_key(token)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        )
    except InvalidTag:
        return {}
    return body


async def end(tx: Transaction, token: str) -> None:
    """Forget what was typed."""
    await store.end_sitting(tx, _id(token))


def subject_of(token: str) -> UUID:
    """Under which the files of a sitting are kept until it ends."""
    return hashed_id(f"fengping/sitting-files/{token}")


def _id(token: str) -> bytes:
    return hashlib.sha256(f"fengping/sitting/{token}".encode()).digest()


def _key(token: str) -> bytes:
    return hmac.digest(token.encode(), b"fengping/sitting", hashlib.sha256)
