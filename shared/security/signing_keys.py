"""The keys that sign a service's audit log.

Each service has its own, so that none can sign the log of another. A rotation destroys the private
half of the old key. Its public half still verifies what it signed, up to the size that the log had
then: a copy of the old key that was stolen cannot sign a longer log.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from shared.foundation.private_files import read_private, write_private
from shared.security.audit import RetiredKey, Signer
from shared.security.keyring import InvalidKeyRing


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The current private key of one log, and the public keys that it replaced, oldest first."""

    current: Ed25519PrivateKey = field(repr=False)
    retired: tuple[RetiredKey, ...] = ()

    @classmethod
    def generate(cls) -> SigningKeys:
        """Return a new key that replaces none."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKeys:
        """Return the keys in an existing file.

        Raises InvalidKeyRing, also if others can read it.
        """
        try:
            return cls.from_text(read_private(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidKeyRing(f"无法读取签名密钥 {path}，或其权限不是 0600") from error

    @classmethod
    def from_text(cls, text: str) -> SigningKeys:
        """Return the keys in the text of a file. Raises InvalidKeyRing."""
        try:
            stored = json.loads(text)
            current = Ed25519PrivateKey.from_private_bytes(_bytes(stored["private"]))
            return cls(current, tuple(map(_retired, stored["retired"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause, which would quote the key.
            raise InvalidKeyRing("签名密钥文件的格式不正确") from None

    def text(self) -> str:
        """Return the text of the file."""
        private = b64encode(self.current.private_bytes_raw()).decode()
        retired = [
            {"public": b64encode(old.key.public_bytes_raw()).decode(), "last_size": old.last_size}
            for old in self.retired
        ]
        return json.dumps({"private": private, "retired": retired}, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Replace the file at `path` atomically, readable by its owner only."""
        write_private(path, self.text())

    @property
    def version(self) -> int:
        """The number of the current key, from 1."""
        return len(self.retired) + 1

    @property
    def public_keys(self) -> list[Ed25519PublicKey]:
        """The public keys by version, from 1."""
        return [*(old.key for old in self.retired), self.current.public_key()]

    def signer(self, service: str) -> Signer:
        """Return the signer of a service's log."""
        return Signer(f"fengping/{service}", self.current, self.retired)

    def replaced_by(self, new: Ed25519PrivateKey, *, last_size: int) -> SigningKeys:
        """Return the keys after `new` replaced the current key at a log of `last_size` entries."""
        old = RetiredKey(self.current.public_key(), last_size)
        return SigningKeys(new, (*self.retired, old))


def _retired(stored: Mapping[str, Any]) -> RetiredKey:
    key = Ed25519PublicKey.from_public_bytes(_bytes(stored["public"]))
    return RetiredKey(key, int(stored["last_size"]))


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)
