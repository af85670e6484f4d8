"""Reading archives: one file with every part, or one file for each part."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from shared.verifier.notes import Key, MalformedNote, read_key

FORMAT = "fengping-evidence/1"
SERVICES = ("scoring", "casework", "intake")
BLOCK_BYTES = 1 << 20


class MalformedArchive(ValueError):
    """The files are not an archive that this program can check; the message says why."""


class Archive:
    """The parts of one campaign. Use it as a context manager; raises MalformedArchive."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._exits = ExitStack()
        self._zips: dict[str, ZipFile] = {}
        self.manifests: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Archive":
        for path in self._paths:
            self._open(path)
        missing = [service for service in SERVICES if service not in self.manifests]
        if missing:
            raise MalformedArchive(f"the part of {', '.join(missing)} is missing")
        if len({manifest["campaign"] for manifest in self.manifests.values()}) > 1:
            raise MalformedArchive("the parts are about different campaigns")
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _open(self, path: Path) -> None:
        try:
            opened = self._exits.enter_context(ZipFile(path))
        except (OSError, BadZipFile) as error:
            raise MalformedArchive(f"{path} is not a ZIP file") from error
        for name in opened.namelist():
            service, _, file = name.partition("/")
            if file == "manifest.json" and service in SERVICES:
                self._zips[service] = opened
                self.manifests[service] = _manifest(opened.read(name), service)

    @property
    def campaign(self) -> str:
        """The id of the campaign."""
        return str(self.manifests["scoring"]["campaign"])

    def keys(self, service: str) -> list[Key]:
        """Return the keys of a service's log. Raises MalformedArchive."""
        try:
            lines = self.read(service, "keys.txt").decode().splitlines()
            return [read_key(line.split(" ")[0]) for line in lines if line]
        except (MalformedNote, UnicodeDecodeError) as error:
            raise MalformedArchive(f"{service}/keys.txt: {error}") from error

    def read(self, service: str, name: str) -> bytes:
        """Return a small file."""
        try:
            return self._zips[service].read(f"{service}/{name}")
        except KeyError as error:
            raise MalformedArchive(f"{service}/{name} is missing") from error

    def lines(self, service: str, name: str) -> Iterator[bytes]:
        """Yield the lines of a file, without their ends."""
        try:
            with self._zips[service].open(f"{service}/{name}") as file:
                for line in file:
                    yield line.rstrip(b"\n")
        except KeyError as error:
            raise MalformedArchive(f"{service}/{name} is missing") from error

    def changed_files(self, service: str) -> Iterator[str]:
        """Yield the names of files whose digest is not that of the manifest."""
        for file in self.manifests[service]["files"]:
            if self._digest(service, file["name"]) != file["sha256"]:
                yield file["name"]

    def is_signed(self, service: str, keys: Sequence[Key]) -> bool:
        """Return whether one of the keys signed the manifest of this part."""
        manifest = self.read(service, "manifest.json")
        signature = b64decode(self.read(service, "manifest.sig"))
        return any(key.has_signed(manifest, signature) for key in keys)

    def _digest(self, service: str, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with self._zips[service].open(f"{service}/{name}") as file:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
        except (KeyError, BadZipFile):
            return ""
        return digest.hexdigest()


def _manifest(content: bytes, service: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(content)
    if manifest.get("format") != FORMAT or manifest.get("service") != service:
        raise MalformedArchive(f"{service}/manifest.json is of another format")
    return manifest
