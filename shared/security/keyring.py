"""Encryption of complainant data, and the keys that everything secret is derived from.

A copy of the database must not reveal who complained, and erased data must be gone from backups
too. Each record has its own data key (AES-256-GCM), which is stored only wrapped by a master key
outside the database. Record id and purpose are bound in, so that nothing can be moved to another
record. Deleting the wrapped key makes every copy of the record unreadable (crypto-shredding).

Each service has a ring with keys of its own: only intake's opens the vault of complainants, and
notify's the addresses of subscriptions. If a ring is lost, all data that it encrypts is lost: back
it up apart from the database.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.foundation.private_files import OpenToOthers, read_private, write_private
from shared.security.text_folding import normalize_text

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PAD_BYTES: Final = 128
"""Plain text is padded to a multiple of this, so that its length does not reveal the name's."""
AES_256_GCM: Final = b"\x01"
"""First byte of every ciphertext: the algorithm, so that another one can be introduced."""


class VaultError(Exception):
    """A record cannot be decrypted; the message is a sentence for the person who asked."""


class RecordMismatch(VaultError):
    """The bytes were changed or belong to another record."""


class KeyDestroyed(VaultError):
    """The key of the record was destroyed."""


class InvalidKeyRing(VaultError):
    """The file of the key ring is missing, malformed or readable by others."""


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """An encrypted record. Setting `wrapped_key` to NULL destroys it.

    `key_version` is the version of the master key that wraps the data key.
    """

    ciphertext: bytes = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)
    key_version: int


@dataclass(slots=True)
class KeyRing:
    """Master keys by version, and the root from which a service's other secrets are derived.

    All replicas of a service share one ring. Its file is JSON, readable by the owner only. A ring
    without master keys encrypts nothing. `path` is where the ring was loaded from: a version that
    is not known is looked for there, so that a rotation needs no restart.
    """

    master_keys: Mapping[int, bytes] = field(repr=False)
    root: bytes = field(repr=False)
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        lengths = {len(key) for key in (*self.master_keys.values(), self.root)}
        if lengths != {KEY_BYTES}:
            raise InvalidKeyRing("密钥环不完整：每个密钥必须为 32 字节")

    @classmethod
    def generate(cls, *, encrypts: bool = True) -> KeyRing:
        """Return a new ring, with one master key if it encrypts."""
        master_keys = {1: secrets.token_bytes(KEY_BYTES)} if encrypts else {}
        return cls(master_keys, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Return the ring in an existing file.

        Raises InvalidKeyRing, also if others can read it.
        """
        try:
            text = read_private(path)
        except OpenToOthers as error:
            raise InvalidKeyRing(f"密钥环 {path} 必须仅限所有者访问（0600）") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidKeyRing(f"无法读取密钥环 {path}") from error
        ring = cls.from_text(text)
        ring.path = path
        return ring

    def refresh(self) -> None:
        """Read the master keys again. Raises InvalidKeyRing."""
        if self.path is not None:
            self.master_keys = KeyRing.load(self.path).master_keys

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """Return the ring in the text of a file. Raises InvalidKeyRing."""
        try:
            stored = json.loads(text)
            master_keys = {
                int(version): b64decode(key, validate=True)
                for version, key in stored["master_keys"].items()
            }
            return cls(master_keys, b64decode(stored["root"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause, which would quote the keys.
            raise InvalidKeyRing("密钥环文件的格式不正确") from None

    def text(self) -> str:
        """Return the text of the file."""
        master_keys = {
            str(version): b64encode(key).decode()
            for version, key in sorted(self.master_keys.items())
        }
        stored = {"master_keys": master_keys, "root": b64encode(self.root).decode()}
        return json.dumps(stored, indent=1) + "\n"

    def rotated(self) -> KeyRing:
        """Return the ring with a new master key.

        Old records stay readable; `rewrap` moves them to the new key one by one.
        """
        new_key = {self.current + 1: secrets.token_bytes(KEY_BYTES)}
        return KeyRing({**self.master_keys, **new_key}, self.root, self.path)

    def without(self, version: int) -> KeyRing:
        """Return the ring without an old master key: what it wraps is lost in every copy.

        Raises VaultError for the current key and for one that the ring does not have.
        """
        if version not in self.master_keys or version == self.current:
            raise VaultError(f"第 {version} 版主密钥不存在或仍在使用，不能销毁")
        kept = {other: key for other, key in self.master_keys.items() if other != version}
        return KeyRing(kept, self.root, self.path)

    def save(self, path: Path) -> None:
        """Replace the file at `path` atomically, readable by its owner only."""
        write_private(path, self.text())

    @property
    def current(self) -> int:
        """The version of the master key that wraps new data keys; 0 without master keys."""
        return max(self.master_keys, default=0)

    def check_value(self, version: int) -> bytes:
        """Return 32 bytes that tell a master key from another and reveal nothing about it.

        Version 0 stands for the root.
        """
        key = self.master_keys[version] if version else self.root
        return hmac.digest(key, b"fengping/check", hashlib.sha256)

    def seal(self, record_id: UUID | str, fields: Mapping[str, str]) -> SealedRecord:
        """Encrypt the fields of one record under a new data key."""
        data_key, nonce, key_nonce = _random_parts(KEY_BYTES, NONCE_BYTES, NONCE_BYTES)
        plain = msgspec.json.encode(dict(fields))
        padded = plain + b" " * (-len(plain) % PAD_BYTES)
        fields_data = _associated_data("fields", record_id)
        return SealedRecord(
            ciphertext=_encrypt(AESGCM(data_key), padded, fields_data, nonce),
            wrapped_key=self._wrap(record_id, data_key, key_nonce),
            key_version=self.current,
        )

    def unseal(self, record_id: UUID | str, sealed: SealedRecord) -> dict[str, str]:
        """Return the fields of a record.

        Raises KeyDestroyed if its key was destroyed, RecordMismatch if it was changed or belongs to
        another id, VaultError if the ring lacks the master key.
        """
        data_key = self._data_key(record_id, sealed)
        plain = _decrypt(data_key, sealed.ciphertext, _associated_data("fields", record_id))
        fields: dict[str, str] = json.loads(plain)
        return fields

    def rewrap(self, record_id: UUID | str, sealed: SealedRecord) -> SealedRecord:
        """Return the record under the current master key, without decrypting its fields.

        Raises as `unseal`.
        """
        data_key = self._data_key(record_id, sealed)
        wrapped_key = self._wrap(record_id, data_key, secrets.token_bytes(NONCE_BYTES))
        return SealedRecord(sealed.ciphertext, wrapped_key, self.current)

    def _wrap(
        self,
        record_id: UUID | str,
        data_key: bytes,
        nonce: bytes,
    ) -> bytes:
        """Encrypt a data key under the current master key."""
        master_cipher = _master_cipher(self.master_keys[self.current])
        key_data = _associated_data(f"key {self.current}", record_id)
        return _encrypt(master_cipher, data_key, key_data, nonce)

    def fingerprint(self, text: str) -> bytes:
        """Return 32 bytes that identify a phone number, id number or name in any spelling.

        Equal values are found by it without storing them. It cannot be computed without the ring,
        so a table of all phone numbers does not reveal them. Delete it together with its record.
        """
        key = self.derive_key("fingerprint")
        return hmac.digest(key, normalize_text(text).encode(), hashlib.sha256)

    def derive_key(self, purpose: str) -> bytes:
        """Return the 32 secret bytes for a purpose; those of one purpose reveal no others."""
        return _derive_key(self.root, purpose)

    def _data_key(self, record_id: UUID | str, sealed: SealedRecord) -> bytes:
        if sealed.wrapped_key is None:
            raise KeyDestroyed("该身份信息的密钥已销毁，无法查阅")
        master_key = self._master_key(sealed.key_version)
        key_data = _associated_data(f"key {sealed.key_version}", record_id)
        return _decrypt(master_key, sealed.wrapped_key, key_data)

    def _master_key(self, version: int) -> bytes:
        if version not in self.master_keys:
            self.refresh()  # Another process may already use a new key.
        if version not in self.master_keys:
            raise VaultError(f"密钥环中没有第 {version} 版主密钥")
        return self.master_keys[version]


@lru_cache(maxsize=64)
def _derive_key(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"fengping/{purpose}".encode(), hashlib.sha256)


def _random_parts(*sizes: int) -> Iterator[bytes]:
    """Yield random bytes of these sizes, from one system call."""
    drawn = secrets.token_bytes(sum(sizes))
    start = 0
    for size in sizes:
        yield drawn[start : start + size]
        start += size


@lru_cache(maxsize=8)
def _master_cipher(key: bytes) -> AESGCM:
    """Return the cipher of a master key, set up once."""
    return AESGCM(key)


def _encrypt(
    cipher: AESGCM,
    plain: bytes,
    associated_data: bytes,
    nonce: bytes,
) -> bytes:
    return AES_256_GCM + nonce + cipher.encrypt(nonce, plain, associated_data)


def _decrypt(
    key: bytes,
    stored: bytes,
    associated_data: bytes,
) -> bytes:
    algorithm = stored[:1]
    nonce = stored[1 : 1 + NONCE_BYTES]
    body = stored[1 + NONCE_BYTES :]
    try:
        if algorithm != AES_256_GCM or len(nonce) != NONCE_BYTES:
            raise InvalidTag
        return AESGCM(key).decrypt(nonce, body, associated_data)
    except InvalidTag as error:
        raise RecordMismatch("身份信息校验失败：数据被改动或不属于此记录") from error


def _associated_data(purpose: str, record_id: UUID | str) -> bytes:
    return f"fengping/vault/{purpose}/{record_id}".encode()
