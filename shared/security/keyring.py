"""Identities under lock and key, and the guard that finds personal data in free text.

Context: whoever complains must not become known, not even to who copies the database. And they want
their data gone when its time is over, from backups too.
Decision: each record has its own data key (AES-256-GCM), which is stored only wrapped by a master
key that lives outside the database. Record id and purpose are bound in, so that nothing can be
moved to another record. Forgetting the wrapped key makes every copy of the record unreadable
(crypto-shredding); its fingerprints go with it.
Consequences: lose the key ring and all identities are lost: it is backed up apart from the
database. Free text typed by people is the real leak, so `find_pii` looks at every text
before a unit sees it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.security.text_folding import normalize_text

# ── sealing identities ────────────────────────────────────────────────────────────────────────────

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PAD_BYTES: Final = 128
"""Plain text is filled up to a multiple of this, so that its length does not tell the name's."""
AES_256_GCM: Final = b"\x01"
"""First byte of every cipher text: how it was made, so that another cipher can come later."""


class VaultError(Exception):
    """The vault says no; the message is a sentence for the person who asked."""


class RecordMismatch(VaultError):
    """The bytes were changed, or belong to another record."""


class KeyDestroyed(VaultError):
    """The record's key was destroyed; nobody can open it any more."""


class InvalidKeyRing(VaultError):
    """The key ring's file is missing, malformed, or open to others."""


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """What is stored of an identity. Set `wrapped_key` to NULL and the record is gone for ever, in
    copies as well as soon as they have lost theirs.

    `key_version` says which master key wraps the data key.
    """

    ciphertext: bytes = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)
    key_version: int


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Master keys by version, and a root from which the other secrets of the house follow.

    One ring serves all replicas of a service. The file is JSON and is readable by its owner only.
    """

    master_keys: Mapping[int, bytes] = field(repr=False)
    root: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.master_keys or any(
            len(key) != KEY_BYTES for key in (*self.master_keys.values(), self.root)
        ):
            raise InvalidKeyRing("密钥环不完整：每个密钥必须为 32 字节")

    @classmethod
    def load_or_create(cls, path: Path) -> KeyRing:
        """The ring in the file at `path`; a new one is made there, once, when there is no file.

        Several processes may do so at the same moment: all get the same ring. Raises InvalidKeyRing.
        """
        if not path.exists():
            cls(
                master_keys={1: secrets.token_bytes(KEY_BYTES)}, root=secrets.token_bytes(KEY_BYTES)
            ).save_if_absent(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The ring in a file that was put there. Raises InvalidKeyRing when others may read or
        change it.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidKeyRing(f"无法读取密钥环 {path}") from error
        # Reading by the group is let pass: that is how Kubernetes mounts a secret for a process
        # that is not root.
        if mode & 0o037:
            raise InvalidKeyRing(f"密钥环 {path} 的权限为 {mode:04o}，必须仅限所有者访问（0600）")
        return cls.from_text(text)

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """The ring in the text of such a file. Raises InvalidKeyRing."""
        try:
            stored = json.loads(text)
            master_keys = {
                int(version): b64decode(key, validate=True)
                for version, key in stored["master_keys"].items()
            }
            return cls(master_keys, b64decode(stored["root"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause: it would quote the keys.
            raise InvalidKeyRing("密钥环文件的格式不正确") from None

    def text(self) -> str:
        """What the file holds."""
        master_keys = {
            str(version): b64encode(key).decode()
            for version, key in sorted(self.master_keys.items())
        }
        return (
            json.dumps(
                {"master_keys": master_keys, "root": b64encode(self.root).decode()}, indent=1
            )
            + "\n"
        )

    def rotated(self) -> KeyRing:
        """The ring with a new master key. Old records stay readable; `rewrap` moves them to the new
        key one by one.
        """
        return KeyRing(
            {**self.master_keys, self.current + 1: secrets.token_bytes(KEY_BYTES)}, self.root
        )

    def save(self, path: Path) -> None:
        """Replace the file at `path` in one step, readable by its owner only."""
        os.replace(self._write_temporary(path), path)

    def save_if_absent(self, path: Path) -> None:
        """Make the file at `path`, unless there is one already: then that one counts."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = self._write_temporary(path)
        try:
            os.link(written, path)  # Unlike a rename this fails when another process was first.
        except FileExistsError:
            pass
        finally:
            os.unlink(written)

    @property
    def current(self) -> int:
        """Version of the master key that wraps new data keys."""
        return max(self.master_keys)

    def seal(self, record_id: UUID | str, fields: Mapping[str, str]) -> SealedRecord:
        """Encrypt the fields of one identity under a data key of its own."""
        data_key, nonce, key_nonce = _random_parts(KEY_BYTES, NONCE_BYTES, NONCE_BYTES)
        plain = msgspec.json.encode(dict(fields))
        padded = plain + b" " * (-len(plain) % PAD_BYTES)
        version = self.current
        return SealedRecord(
            _encrypt(AESGCM(data_key), padded, _associated_data("fields", record_id), nonce),
            _encrypt(
                _master_cipher(self.master_keys[version]),
                data_key,
                _associated_data(f"key {version}", record_id),
                key_nonce,
            ),
            version,
        )

    def unseal(self, record_id: UUID | str, sealed: SealedRecord) -> dict[str, str]:
        """The fields of this record.

        Raises KeyDestroyed when its key was destroyed, RecordMismatch when anything was changed or it is
        another's, VaultError when the ring lacks the master key.
        """
        plain = _decrypt(
            self._data_key(record_id, sealed),
            sealed.ciphertext,
            _associated_data("fields", record_id),
        )
        fields: dict[str, str] = json.loads(plain)
        return fields

    def rewrap(self, record_id: UUID | str, sealed: SealedRecord) -> SealedRecord:
        """The same record under the current master key. The fields are not decrypted. Raises as
        `unseal`.
        """
        version = self.current
        data_key = self._data_key(record_id, sealed)
        wrapped = _encrypt(
            _master_cipher(self.master_keys[version]),
            data_key,
            _associated_data(f"key {version}", record_id),
            secrets.token_bytes(NONCE_BYTES),
        )
        return SealedRecord(sealed.ciphertext, wrapped, version)

    def fingerprint(self, text: str) -> bytes:
        """32 bytes by which the same phone, number or name is found again without being stored.

        Spelling does not matter: width, spaces, dashes, capitals, +86. Without the ring a
        fingerprint cannot be computed, so a table of all phone numbers is of no use. Destroy it
        together with its record.
        """
        return hmac.digest(
            self.derive_key("fingerprint"), normalize_text(text).encode(), hashlib.sha256
        )

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """The signature key for a purpose, always the same, as `audit/intake`."""
        return Ed25519PrivateKey.from_private_bytes(self.derive_key(f"sign/{purpose}"))

    def derive_key(self, purpose: str) -> bytes:
        """32 secret bytes for a purpose, always the same; those of one purpose say nothing about
        another's.
        """
        return _derive_key(self.root, purpose)

    def _write_temporary(self, path: Path) -> Path:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as file:
            file.write(self.text())
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _data_key(self, record_id: UUID | str, sealed: SealedRecord) -> bytes:
        if sealed.wrapped_key is None:
            raise KeyDestroyed("该身份信息的密钥已销毁，无法查阅")
        master_key = self.master_keys.get(sealed.key_version)
        if master_key is None:
            raise VaultError(f"密钥环中没有第 {sealed.key_version} 版主密钥")
        return _decrypt(
            master_key, sealed.wrapped_key, _associated_data(f"key {sealed.key_version}", record_id)
        )


@lru_cache(maxsize=64)
def _derive_key(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"fengping/{purpose}".encode(), hashlib.sha256)


def _random_parts(*sizes: int) -> Iterator[bytes]:
    """Random bytes of these sizes; the operating system is asked once for all of them."""
    drawn, start = secrets.token_bytes(sum(sizes)), 0
    for size in sizes:
        yield drawn[start : start + size]
        start += size


@lru_cache(maxsize=8)
def _master_cipher(key: bytes) -> AESGCM:
    """The cipher of a master key, set up once."""
    return AESGCM(key)


def _encrypt(cipher: AESGCM, plain: bytes, associated_data: bytes, nonce: bytes) -> bytes:
    return AES_256_GCM + nonce + cipher.encrypt(nonce, plain, associated_data)


def _decrypt(key: bytes, stored: bytes, associated_data: bytes) -> bytes:
    algorithm, nonce, body = stored[:1], stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
    try:
        if algorithm != AES_256_GCM or len(nonce) != NONCE_BYTES:
            raise InvalidTag
        return AESGCM(key).decrypt(nonce, body, associated_data)
    except InvalidTag as error:
        raise RecordMismatch("身份信息校验失败：数据被改动或不属于此记录") from error


def _associated_data(purpose: str, record_id: UUID | str) -> bytes:
    return f"fengping/vault/{purpose}/{record_id}".encode()
