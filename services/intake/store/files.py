"""Photos and documents on disk: recognised by their content, copied without metadata, encrypted one
by one.

Context: a photo tells more than it shows: where, when and with whose phone it was taken. As
evidence the original must stay as it is.
Decision: the original is sealed as it came; what people look at is a copy that was drawn anew,
without metadata, at most 1600 px wide. Each file has its own key, which is sealed in the database:
the folder alone, and the database alone, show nothing.
Consequences: a file is written before its row is committed; after a crash there may be bytes
without a row, never a row without bytes.
"""

import asyncio
import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from PIL import Image, ImageOps, UnidentifiedImageError

from shared.appraisal.errors import Rejected
from shared.security.keyring import KeyRing, SealedRecord

FILE_MAX_BYTES: Final = 10 * 1024 * 1024
PIXELS_MAX: Final = 50_000_000
SIDE_MAX: Final = 1600
QUALITY: Final = 82
NONCE_BYTES: Final = 12
MAGIC: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"RIFF": "image/webp",
    b"%PDF-": "application/pdf",
}
FORMATS: Final = ("JPEG", "PNG", "WEBP")
Version = Literal["original", "derived"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is on disk: what its row needs. `derived`: the copy without metadata is there
    too.
    """

    sealed: SealedRecord
    sha256: bytes
    media_type: str
    size: int
    derived: bool


async def keep_file(
    folder: Path, ring: KeyRing, file_id: UUID, body: bytes, *, documents: bool = False
) -> Kept:
    """Check, copy, encrypt and write a file. `documents`: PDF is taken as well as pictures.

    Raises Rejected (413, 415, 422) for what is too large, unknown or damaged; nothing is written
    then.
    """
    return await asyncio.to_thread(_keep, folder, ring, file_id, body, documents)


def _keep(folder: Path, ring: KeyRing, file_id: UUID, body: bytes, documents: bool) -> Kept:
    if len(body) > FILE_MAX_BYTES:
        raise Rejected(f"文件超过 {FILE_MAX_BYTES // 1024 // 1024} MB，请缩小后再传", status=413)
    media_type = media_type_of(body)
    if not media_type or (media_type == "application/pdf" and not documents):
        raise Rejected(
            "只能上传 JPG、PNG、WebP 图片" + ("或 PDF 文件" if documents else ""), status=415
        )
    copy = without_metadata(body) if media_type.startswith("image/") else None
    key = secrets.token_bytes(32)
    _write(_path(folder, file_id, "original"), _encrypt(key, body, file_id, "original"))
    if copy is not None:
        _write(_path(folder, file_id, "derived"), _encrypt(key, copy, file_id, "derived"))
    sealed = ring.seal(f"file/{file_id}", {"key": b64encode(key).decode()})
    return Kept(sealed, hashlib.sha256(body).digest(), media_type, len(body), copy is not None)


def media_type_of(body: bytes) -> str:
    """What the first bytes say; "" for anything not taken. Names and headers are not believed."""
    found = next((kind for magic, kind in MAGIC.items() if body.startswith(magic)), "")
    return "" if found == "image/webp" and body[8:12] != b"WEBP" else found


def without_metadata(body: bytes) -> bytes:
    """The picture drawn anew as JPEG: upright, at most SIDE_MAX wide or high, nothing but pixels.
    Raises Rejected (422).
    """
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as picture:
            if picture.width * picture.height > PIXELS_MAX:
                raise Rejected(f"图片像素超过 {PIXELS_MAX // 10_000} 万，请缩小后再传", status=422)
            picture.draft("RGB", (2 * SIDE_MAX, 2 * SIDE_MAX))
            upright = ImageOps.exif_transpose(picture)
            drawn = Image.new("RGB", upright.size, "white")
            rgba = upright.convert("RGBA")
            drawn.paste(rgba, mask=rgba.getchannel("A"))
    except Image.DecompressionBombError as error:
        raise Rejected(
            f"图片像素超过 {PIXELS_MAX // 10_000} 万，请缩小后再传", status=422
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Rejected("图片已损坏，无法读取，请重新拍摄或选择", status=422) from error
    drawn.thumbnail((SIDE_MAX, SIDE_MAX))
    written = BytesIO()
    drawn.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


async def read_file(
    folder: Path, ring: KeyRing, file_id: UUID, sealed: SealedRecord, version: Version
) -> bytes:
    """The bytes of a file. Raises VaultError when its key was destroyed, FileNotFoundError when it
    is gone.
    """
    return await asyncio.to_thread(_read, folder, ring, file_id, sealed, version)


def _read(
    folder: Path, ring: KeyRing, file_id: UUID, sealed: SealedRecord, version: Version
) -> bytes:
    key = b64decode(ring.unseal(f"file/{file_id}", sealed)["key"])
    stored = _path(folder, file_id, version).read_bytes()
    return AESGCM(key).decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], _bound(file_id, version))


def remove_file(folder: Path, file_id: UUID) -> None:
    """Remove both versions of a file."""
    for version in ("original", "derived"):
        _path(folder, file_id, version).unlink(missing_ok=True)


def _encrypt(key: bytes, plain: bytes, file_id: UUID, version: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, _bound(file_id, version))


def _bound(file_id: UUID, version: str) -> bytes:
    return f"fengping/file/{file_id}/{version}".encode()


def _path(folder: Path, file_id: UUID, version: str) -> Path:
    # The last digits of a time-ordered id are random: the files spread evenly over 256 folders.
    return folder / file_id.hex[-2:] / f"{file_id}.{version}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_suffix(f"{path.suffix}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
