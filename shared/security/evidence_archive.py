"""Writes evidence archives: ZIP files whose bytes depend on their content only.

Members are stored, not compressed: compressors differ between versions. A part is a folder of one
service, with a manifest that names the digest of every file and is signed with the log's key.
"""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from shared.security.audit import Signer
from shared.security.evidence import ArchiveFile, Line, json_line

FORMAT: Final = "fengping-evidence/1"
NO_DATE: Final = (1980, 1, 1, 0, 0, 0)
FILE_MODE: Final = 0o100600 << 16
UNIX: Final = 3


class EvidenceArchive:
    """An archive that is being written. Use it as a context manager."""

    def __init__(self, path: Path, campaign_id: str) -> None:
        self._zip = ZipFile(path, "w", ZIP_STORED, allowZip64=True)
        self._campaign_id = campaign_id

    def __enter__(self) -> "EvidenceArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    async def add_part(self, signer: Signer, files: Sequence[ArchiveFile]) -> None:
        """Add the folder of one service, its manifest and the signature of the manifest."""
        service = signer.origin.rpartition("/")[2]
        entries = [await self._add(service, file) for file in files]
        manifest = json_line(
            {"format": FORMAT, "service": service, "campaign": self._campaign_id, "files": entries}
        )
        self._write(f"{service}/manifest.json", manifest)
        self._write(f"{service}/manifest.sig", b64encode(signer.key.sign(manifest)) + b"\n")

    async def _add(self, service: str, file: ArchiveFile) -> dict[str, Any]:
        digest = hashlib.sha256()
        size = 0
        with self._zip.open(_member(f"{service}/{file.name}"), "w", force_zip64=True) as member:
            async for line in _blocks(file.lines):
                digest.update(line)
                size += member.write(line)
        return {"name": file.name, "bytes": size, "sha256": digest.hexdigest()}

    def _write(self, name: str, content: bytes) -> None:
        self._zip.writestr(_member(name), content)


def _member(name: str) -> ZipInfo:
    member = ZipInfo(name, NO_DATE)
    member.create_system = UNIX
    member.external_attr = FILE_MODE
    return member


BLOCK_BYTES: Final = 65_536


async def _blocks(lines: AsyncIterator[Line]) -> AsyncIterator[bytes]:
    """Yield the lines joined to blocks, which are cheaper to write than lines."""
    block = bytearray()
    async for line in lines:
        block += line
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
