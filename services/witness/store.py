"""The folder of a witness: its key, the logs that it trusts, and what it has cosigned.

`witness.key`: the private key. `logs.txt`: a line for each key of each log, read again at every
request; it may stand elsewhere. `state/`: the last checkpoint of each log. `cosigned.log`: every
checkpoint, append-only.
"""

import hashlib
import json
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.foundation.private_files import write_private
from shared.verifier.notes import COSIGNATURE, Key, read_key

OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The newest checkpoint of a log that the witness has cosigned."""

    size: int
    root: bytes


NOTHING_SEEN: Final = SeenCheckpoint(0, b"")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key of a log. `last_size`: a retired key is believed up to this size of the log."""

    key: Key
    last_size: int | None = None


class WitnessFolder:
    """What a witness keeps. Creates the folder and the key if they are missing."""

    def __init__(self, folder: Path, name: str, logs: Path | None = None) -> None:
        self.folder = folder
        self.logs = logs or folder / "logs.txt"
        self.name = name
        (folder / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.private_key = self._load_key()

    @property
    def key(self) -> Key:
        """The public key, by which others check cosignatures."""
        return Key(self.name, COSIGNATURE, self.private_key.public_key().public_bytes_raw())

    def trusted_keys(self, origin: str) -> list[TrustedKey]:
        """Return the keys of a log; none if the witness does not know it."""
        lines = self.logs.read_text().splitlines() if self.logs.exists() else []
        trusted = [_trusted(line) for line in lines if line.strip()]
        return [each for each in trusted if each.key.name == origin]

    def last(self, origin: str) -> SeenCheckpoint:
        """Return the newest cosigned checkpoint of a log."""
        file = self._state_file(origin)
        if not file.exists():
            return NOTHING_SEEN
        stored = json.loads(file.read_text())
        return SeenCheckpoint(stored["size"], b64decode(stored["root"]))

    def last_note(self, origin: str) -> str | None:
        """Return the newest cosigned checkpoint of a log as a note; None if there is none."""
        file = self._state_file(origin)
        return json.loads(file.read_text())["note"] if file.exists() else None

    def remember(self, origin: str, seen: SeenCheckpoint, note: str) -> None:
        """Store a checkpoint durably; it is then the newest of its log."""
        self._append(note)
        root = b64encode(seen.root).decode()
        stored = {"origin": origin, "size": seen.size, "root": root, "note": note}
        write_private(self._state_file(origin), json.dumps(stored))

    def _append(self, note: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self.folder / "cosigned.log", flags, OWNER_ONLY)
        with os.fdopen(descriptor, "w") as file:
            file.write(note + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _state_file(self, origin: str) -> Path:
        name = hashlib.sha256(origin.encode()).hexdigest()[:32]
        return self.folder / "state" / f"{name}.json"

    def _load_key(self) -> Ed25519PrivateKey:
        file = self.folder / "witness.key"
        if not file.exists():
            new = Ed25519PrivateKey.generate().private_bytes_raw()
            write_private(file, b64encode(new).decode())
        return Ed25519PrivateKey.from_private_bytes(b64decode(file.read_text()))


def _trusted(line: str) -> TrustedKey:
    key, _, last_size = line.strip().partition(" ")
    return TrustedKey(read_key(key), int(last_size) if last_size else None)
