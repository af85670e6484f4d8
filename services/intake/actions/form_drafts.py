"""Drafts of public forms: kept for two hours, encrypted under a key that only the browser holds."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.domain.ballots import hashed_id
from services.intake.store import form_drafts as store
from shared.storage.transaction import Transaction

KEPT: Final = timedelta(hours=2)
RECEIPT_SHOWN: Final = timedelta(minutes=10)
NONCE_BYTES: Final = 12


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the receipt page shows after a report was submitted, until `shown_until`."""

    complaint_id: UUID
    number: str
    shown_until: datetime


@dataclass(frozen=True, slots=True)
class WizardTokens:
    """The token of the draft that a report ends, and that of the receipt it leaves."""

    draft: str
    receipt: str


def new_token() -> str:
    """Return a token for the browser's cookie; it identifies the draft and decrypts it."""
    return secrets.token_urlsafe(32)


async def save(
    tx: Transaction,
    token: str,
    fields: dict[str, Any],
) -> None:
    """Save the fields of a form and extend the draft by KEPT."""
    await store.save(tx, _draft_id(token), _encrypt(token, fields), tx.now + KEPT)


async def load(tx: Transaction, token: str) -> dict[str, Any]:
    """Return the fields saved under this token, or {} if there are none or they have expired."""
    stored = await store.find(tx, _draft_id(token)) if token else None
    return _decrypt(token, stored) if stored else {}


async def delete(tx: Transaction, token: str) -> None:
    """Delete the draft saved under this token."""
    await store.delete(tx, _draft_id(token))


async def finish(
    tx: Transaction,
    tokens: WizardTokens,
    receipt: Receipt,
) -> None:
    """Delete a submitted draft and save its receipt."""
    await delete(tx, tokens.draft)
    fields: dict[str, Any] = msgspec.to_builtins(receipt)
    await save(tx, tokens.receipt, fields)


async def load_receipt(tx: Transaction, token: str) -> Receipt | None:
    """Return the receipt saved under this token while it may be shown."""
    fields = await load(tx, token)
    receipt = msgspec.convert(fields, Receipt) if fields else None
    return receipt if receipt and receipt.shown_until >= tx.now else None


def file_subject(token: str) -> UUID:
    """Return the id under which the files of this draft are stored."""
    return hashed_id(f"fengping/form-draft-files/{token}")


def _encrypt(token: str, fields: dict[str, Any]) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    plain = msgspec.json.encode(fields)
    return nonce + _cipher(token).encrypt(nonce, plain, None)


def _decrypt(token: str, stored: bytes) -> dict[str, Any]:
    nonce = stored[:NONCE_BYTES]
    ciphertext = stored[NONCE_BYTES:]
    try:
        plain = _cipher(token).decrypt(nonce, ciphertext, None)
    except InvalidTag:
        return {}
    fields: dict[str, Any] = msgspec.json.decode(plain)
    return fields


def _draft_id(token: str) -> bytes:
    return hashlib.sha256(f"fengping/form-draft/{token}".encode()).digest()


def _cipher(token: str) -> AESGCM:
    key = hmac.digest(token.encode(), b"fengping/form-draft", hashlib.sha256)
    return AESGCM(key)
