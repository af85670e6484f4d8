"""Photos and documents on disk, each encrypted under its own key.

Context: a photo reveals when, where and with which phone it was taken. The original is evidence
and must stay unchanged.
Decision: the original is encrypted as received; people see a redrawn copy without metadata. The
key of each file is sealed in the database, so neither the folder nor the database alone reveals
anything.
Consequences: a file is written before its row is committed. A crash may leave bytes without a
row, never a row without bytes.
"""

import asyncio
import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.domain.images import DAMAGED, PDF, media_type_of, without_metadata
from shared.appraisal.errors import Rejected
from shared.foundation.limited_process import (
    MEBIBYTE,
    DecoderPool,
    DecodingFailed,
    LimitExceeded,
    Limits,
)
from shared.security.keyring import KeyRing, SealedRecord

FILE_MAX_BYTES: Final = 10 * MEBIBYTE
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
Version = Literal["original", "derived"]
VERSIONS: Final[tuple[Version, ...]] = ("original", "derived")
PICTURE_LIMITS: Final = Limits(
    memory_bytes=384 * MEBIBYTE,
    cpu_seconds=15,
    result_max_bytes=10 * MEBIBYTE,
)
"""A photo of 48 million pixels needs 320 MiB, interpreter included."""
_pictures: Final = DecoderPool(PICTURE_LIMITS, at_once=2, waiting_max=16)


@dataclass(frozen=True, slots=True)
class Upload:
    """A checked upload: its bytes, and a copy without metadata unless it is a document."""

    body: bytes = field(repr=False)
    copy: bytes | None = field(repr=False)
    media_type: str
    sha256: bytes


async def prepare_upload(body: bytes, *, documents: bool = False) -> Upload:
    """Check an upload and redraw a picture. `documents`: accept PDF as well as pictures.

    Takes up to a second: call it before a transaction is opened. Raises Rejected (413, 415, 422)
    if the file is too large, of another type or damaged, and DecoderBusy.
    """
    media_type = _check_upload(body, documents=documents)
    return Upload(
        body=body,
        copy=None if media_type == PDF else await _redrawn(body),
        media_type=media_type,
        sha256=hashlib.sha256(body).digest(),
    )


async def _redrawn(body: bytes) -> bytes:
    try:
        return await _pictures.decode(without_metadata, body)
    except DecodingFailed as failure:
        is_ours = failure.kind == Rejected.__name__
        raise Rejected(failure.sentence if is_ours else DAMAGED, status=422) from failure
    except LimitExceeded as excess:
        raise Rejected("图片太大或太复杂，无法处理，请缩小后再传", status=422) from excess


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """A file that was written to disk. `derived`: a copy without metadata was written too."""

    id: UUID
    sealed: SealedRecord
    sha256: bytes
    media_type: str
    size: int
    derived: bool


@dataclass(frozen=True, slots=True)
class EncryptedFolder:
    """The folder of encrypted files, and the key ring that seals their keys."""

    path: Path
    ring: KeyRing = field(repr=False)

    async def write(self, file_id: UUID, upload: Upload) -> EncryptedFile:
        """Encrypt and write an upload and its copy."""
        return await asyncio.to_thread(self._write, file_id, upload)

    async def read(
        self,
        file_id: UUID,
        sealed: SealedRecord,
        version: Version,
    ) -> bytes:
        """Return the bytes of a file.

        Raises VaultError if its key was destroyed, FileNotFoundError if it was removed.
        """
        return await asyncio.to_thread(self._read, file_id, sealed, version)

    def is_whole(self, file_id: UUID, size: int, derived: bool) -> bool:
        """Return whether the bytes of a file are on disk, the original in its full length."""
        try:
            found = self._location(file_id, "original").stat().st_size
        except FileNotFoundError:
            return False
        has_copy = not derived or self._location(file_id, "derived").exists()
        return found == size + NONCE_BYTES + TAG_BYTES and has_copy

    def remove(self, file_id: UUID) -> None:
        """Remove both versions of a file."""
        for version in VERSIONS:
            self._location(file_id, version).unlink(missing_ok=True)

    def _write(self, file_id: UUID, upload: Upload) -> EncryptedFile:
        key = secrets.token_bytes(KEY_BYTES)
        self._write_version(file_id, "original", key, upload.body)
        if upload.copy is not None:
            self._write_version(file_id, "derived", key, upload.copy)
        return EncryptedFile(
            id=file_id,
            sealed=self.ring.seal(f"file/{file_id}", {"key": b64encode(key).decode()}),
            sha256=upload.sha256,
            media_type=upload.media_type,
            size=len(upload.body),
            derived=upload.copy is not None,
        )

    def _write_version(
        self,
        file_id: UUID,
        version: Version,
        key: bytes,
        plain: bytes,
    ) -> None:
        encrypted = _encrypt(key, plain, _associated_data(file_id, version))
        _write_atomically(self._location(file_id, version), encrypted)

    def _read(
        self,
        file_id: UUID,
        sealed: SealedRecord,
        version: Version,
    ) -> bytes:
        key = b64decode(self.ring.unseal(f"file/{file_id}", sealed)["key"])
        encrypted = self._location(file_id, version).read_bytes()
        return _decrypt(key, encrypted, _associated_data(file_id, version))

    def _location(self, file_id: UUID, version: Version) -> Path:
        # The last digits of a time-ordered id are random: files spread evenly over 256 folders.
        return self.path / file_id.hex[-2:] / f"{file_id}.{version}"


def _check_upload(body: bytes, *, documents: bool) -> str:
    """Return the media type of an upload. Raises Rejected (413, 415)."""
    if len(body) > FILE_MAX_BYTES:
        raise Rejected(f"文件超过 {FILE_MAX_BYTES // MEBIBYTE} MB，请缩小后再传", status=413)
    media_type = media_type_of(body)
    if not media_type or (media_type == PDF and not documents):
        or_pdf = "或 PDF 文件" if documents else ""
        raise Rejected(f"只能上传 JPG、PNG、WebP 图片{or_pdf}", status=415)
    return media_type


def _encrypt(
    key: bytes,
    plain: bytes,
    associated_data: bytes,
) -> bytes:
    """Return the nonce followed by the ciphertext."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, associated_data)


def _decrypt(
    key: bytes,
    encrypted: bytes,
    associated_data: bytes,
) -> bytes:
    nonce = encrypted[:NONCE_BYTES]
    ciphertext = encrypted[NONCE_BYTES:]
    return AESGCM(key).decrypt(nonce, ciphertext, associated_data)


def _associated_data(file_id: UUID, version: Version) -> bytes:
    return f"fengping/file/{file_id}/{version}".encode()


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f"{path.suffix}.{secrets.token_hex(4)}")
    _write_durably(temporary, content)
    os.replace(temporary, path)


def _write_durably(path: Path, content: bytes) -> None:
    """Write a new file that only this user can read, and flush it to disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
