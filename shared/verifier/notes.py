"""Signed notes, checkpoints and keys as C2SP specifies them (signed-note, tlog-checkpoint)."""

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 1
COSIGNATURE = 4
KEY_ID_BYTES = 4
TIMESTAMP_BYTES = 8


class MalformedNote(ValueError):
    """A text is not a signed note, a checkpoint or a key."""


@dataclass(frozen=True)
class Key:
    """A public key: its name (the origin of a log), its type and its bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signatures name the key."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(named).digest()[:KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as one line, a C2SP vkey."""
        encoded = b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether this key signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def read_key(line: str) -> Key:
    """Return the key of a vkey line. Raises MalformedNote."""
    try:
        name, key_id, encoded = line.strip().split("+", 2)
        packed = b64decode(encoded, validate=True)
    except ValueError as error:
        raise MalformedNote(f"not a key: {line!r}") from error
    key = Key(name, packed[0] if packed else 0, packed[1:])
    if key.id.hex() != key_id or len(key.public) != 32:
        raise MalformedNote(f"not a key: {line!r}")
    return key


@dataclass(frozen=True)
class SignedNote:
    """A checkpoint with its signatures: (name, key id, rest of the signature)."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...] = field(default=())

    @property
    def body(self) -> str:
        """The signed text."""
        return checkpoint_body(self.origin, self.size, self.root)

    def is_signed_by(self, key: Key) -> bool:
        """Return whether the log's key, or a witness's key, signed this checkpoint."""
        rests = [rest for name, id, rest in self.signatures if (name, id) == (key.name, key.id)]
        return any(self._verify(key, rest) for rest in rests)

    def _verify(self, key: Key, rest: bytes) -> bool:
        if key.kind == ED25519:
            return key.has_signed(self.body.encode(), rest)
        time = int.from_bytes(rest[:TIMESTAMP_BYTES])
        message = f"cosignature/v1\ntime {time}\n{self.body}"
        return key.has_signed(message.encode(), rest[TIMESTAMP_BYTES:])


def checkpoint_body(origin: str, size: int, root: bytes) -> str:
    """Return the text of a checkpoint, which its log signs."""
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


def read_note(text: str) -> SignedNote:
    """Return the checkpoint in a signed note. Raises MalformedNote."""
    body, _, signatures = text.partition("\n\n")
    try:
        origin, size, root = body.split("\n")[:3]
        signed = tuple(_signature(line) for line in signatures.splitlines() if line)
        return SignedNote(origin, int(size), b64decode(root, validate=True), signed)
    except ValueError as error:
        raise MalformedNote("not a signed checkpoint") from error


def _signature(line: str) -> tuple[str, bytes, bytes]:
    dash, name, encoded = line.split(" ")
    if dash != "—":
        raise MalformedNote("a signature line begins with an em dash")
    packed = b64decode(encoded, validate=True)
    return name, packed[:KEY_ID_BYTES], packed[KEY_ID_BYTES:]


def read_notes(text: str) -> list[SignedNote]:
    """Return all notes of a file, one after the other. Raises MalformedNote.

    A note begins after an empty line that follows signature lines.
    """
    notes: list[str] = []
    for block in text.strip("\n").split("\n\n"):
        if block.startswith("— ") and notes:
            notes[-1] += f"\n\n{block}\n"
        else:
            notes.append(block)
    return [read_note(_with_body_end(note)) for note in notes if note.strip()]


def _with_body_end(note: str) -> str:
    return note if "\n\n" in note else note + "\n\n"
