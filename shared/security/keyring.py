"""Identities under lock and key, and the guard that finds personal data in free text.

Context: whoever complains must not become known, not even to who copies the database. And they want
their data gone when its time is over, from backups too.
Decision: each record has its own data key (AES-256-GCM), which is stored only wrapped by a master
key that lives outside the database. Record id and purpose are bound in, so that nothing can be
moved to another record. Forgetting the wrapped key makes every copy of the record unreadable
(crypto-shredding); its fingerprints go with it.
Consequences: lose the key ring and all identities are lost: it is backed up apart from the
database. Free text typed by people is the real leak, so `personal_data_in` looks at every text
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

from shared.security.text_folding import _bare

# ── sealing identities ────────────────────────────────────────────────────────────────────────────

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PAD_BYTES: Final = 128
"""Plain text is filled up to a multiple of this, so that its length does not tell the name's."""
AES_256_GCM: Final = b"\x01"
"""First byte of every cipher text: how it was made, so that another cipher can come later."""


class VaultError(Exception):
    """The vault says no; the message is a sentence for the person who asked."""


class NotThisRecord(VaultError):
    """The bytes were changed, or belong to another record."""


class Shredded(VaultError):
    """The record's key was destroyed; nobody can open it any more."""


class UnsafeKeyRing(VaultError):
    """The key ring's file is missing, malformed, or open to others."""


@dataclass(frozen=True, slots=True)
class Sealed:
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

    masters: Mapping[int, bytes] = field(repr=False)
    root: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.masters or any(
            len(key) != KEY_BYTES for key in (*self.masters.values(), self.root)
        ):
            raise UnsafeKeyRing("密钥环不完整：每个密钥必须为 32 字节")

    @classmethod
    def load_or_create(cls, path: Path) -> KeyRing:
        """The ring in the file at `path`; a new one is made there, once, when there is no file.

        Several processes may do so at the same moment: all get the same ring. Raises UnsafeKeyRing.
        """
        if not path.exists():
            cls(
                masters={1: secrets.token_bytes(KEY_BYTES)}, root=secrets.token_bytes(KEY_BYTES)
            ).save_new(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The ring in a file that was put there. Raises UnsafeKeyRing when others may read or
        change it.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UnsafeKeyRing(f"无法读取密钥环 {path}") from error
        # Reading by the group is let pass: that is how Kubernetes mounts a secret for a process
        # that is not root.
        if mode & 0o037:
            raise UnsafeKeyRing(f"密钥环 {path} 的权限为 {mode:04o}，必须仅限所有者访问（0600）")
        return cls.from_text(text)

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """The ring in the text of such a file. Raises UnsafeKeyRing."""
        try:
            stored = json.loads(text)
            masters = {
                int(version): b64decode(key, validate=True)
                for version, key in stored["masters"].items()
            }
            return cls(masters, b64decode(stored["root"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause: it would quote the keys.
            raise UnsafeKeyRing("密钥环文件的格式不正确") from None

    def text(self) -> str:
        """What the file holds."""
        masters = {
            str(version): b64encode(key).decode() for version, key in sorted(self.masters.items())
        }
        return (
            json.dumps({"masters": masters, "root": b64encode(self.root).decode()}, indent=1) + "\n"
        )

    def rotated(self) -> KeyRing:
        """The ring with a new master key. Old records stay readable; `rewrap` moves them to the new
        key one by one.
        """
        return KeyRing(
            {**self.masters, self.current + 1: secrets.token_bytes(KEY_BYTES)}, self.root
        )

    def save(self, path: Path) -> None:
        """Replace the file at `path` in one step, readable by its owner only."""
        os.replace(self._write_beside(path), path)

    def save_new(self, path: Path) -> None:
        """Make the file at `path`, unless there is one already: then that one counts."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = self._write_beside(path)
        try:
            os.link(written, path)  # Unlike a rename this fails when another process was first.
        except FileExistsError:
            pass
        finally:
            os.unlink(written)

    @property
    def current(self) -> int:
        """Version of the master key that wraps new data keys."""
        return max(self.masters)

    def seal(self, record_id: UUID | str, fields: Mapping[str, str]) -> Sealed:
        """Encrypt the fields of one identity under a data key of its own."""
        data_key, nonce, key_nonce = _random_parts(KEY_BYTES, NONCE_BYTES, NONCE_BYTES)
        plain = msgspec.json.encode(dict(fields))
        padded = plain + b" " * (-len(plain) % PAD_BYTES)
        version = self.current
        return Sealed(
            _encrypt(AESGCM(data_key), padded, _bound("fields", record_id), nonce),
            _encrypt(
                _master(self.masters[version]),
                data_key,
                _bound(f"key {version}", record_id),
                key_nonce,
            ),
            version,
        )

    def open_sealed(self, record_id: UUID | str, sealed: Sealed) -> dict[str, str]:
        """The fields of this record.

        Raises Shredded when its key was destroyed, NotThisRecord when anything was changed or it is
        another's, VaultError when the ring lacks the master key.
        """
        plain = _decrypt(
            self._data_key(record_id, sealed), sealed.ciphertext, _bound("fields", record_id)
        )
        opened: dict[str, str] = json.loads(plain)
        return opened

    def rewrap(self, record_id: UUID | str, sealed: Sealed) -> Sealed:
        """The same record under the current master key. The fields are not decrypted. Raises as
        `open_sealed`.
        """
        version = self.current
        data_key = self._data_key(record_id, sealed)
        wrapped = _encrypt(
            _master(self.masters[version]),
            data_key,
            _bound(f"key {version}", record_id),
            secrets.token_bytes(NONCE_BYTES),
        )
        return Sealed(sealed.ciphertext, wrapped, version)

    def fingerprint(self, text: str) -> bytes:
        """32 bytes by which the same phone, number or name is found again without being stored.

        Spelling does not matter: width, spaces, dashes, capitals, +86. Without the ring a
        fingerprint cannot be computed, so a table of all phone numbers is of no use. Destroy it
        together with its record.
        """
        return hmac.digest(self.secret("fingerprint"), _bare(text).encode(), hashlib.sha256)

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """The signature key for a purpose, always the same, as `audit/intake`."""
        return Ed25519PrivateKey.from_private_bytes(self.secret(f"sign/{purpose}"))

    def secret(self, purpose: str) -> bytes:
        """32 secret bytes for a purpose, always the same; those of one purpose say nothing about
        another's.
        """
        return _secret(self.root, purpose)

    def _write_beside(self, path: Path) -> Path:
        beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as file:
            file.write(self.text())
            file.flush()
            os.fsync(file.fileno())
        return beside

    def _data_key(self, record_id: UUID | str, sealed: Sealed) -> bytes:
        if sealed.wrapped_key is None:
            raise Shredded("该身份信息的密钥已销毁，无法查阅")
        master = self.masters.get(sealed.key_version)
        if master is None:
            raise VaultError(f"密钥环中没有第 {sealed.key_version} 版主密钥")
        return _decrypt(master, sealed.wrapped_key, _bound(f"key {sealed.key_version}", record_id))


@lru_cache(maxsize=64)
def _secret(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"fengping/{purpose}".encode(), hashlib.sha256)


def _random_parts(*sizes: int) -> Iterator[bytes]:
    """Random bytes of these sizes; the operating system is asked once for all of them."""
    drawn, start = secrets.token_bytes(sum(sizes)), 0
    for size in sizes:
        yield drawn[start : start + size]
        start += size


@lru_cache(maxsize=8)
def _master(key: bytes) -> AESGCM:
    """The cipher of a master key, set up once."""
    return AESGCM(key)


def _encrypt(cipher: AESGCM, plain: bytes, bound: bytes, nonce: bytes) -> bytes:
    return AES_256_GCM + nonce + cipher.encrypt(nonce, plain, bound)


def _decrypt(key: bytes, stored: bytes, bound: bytes) -> bytes:
    made, nonce, body = stored[:1], stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
    try:
        if made != AES_256_GCM or len(nonce) != NONCE_BYTES:
            raise InvalidTag
        return AESGCM(key).decrypt(nonce, body, bound)
    except InvalidTag as error:
        raise NotThisRecord("身份信息校验失败：数据被改动或不属于此记录") from error


def _bound(purpose: str, record_id: UUID | str) -> bytes:
    return f"fengping/vault/{purpose}/{record_id}".encode()
