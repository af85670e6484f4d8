"""Whether a witness cosigns a checkpoint (C2SP tlog-witness, add-checkpoint)."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from services.witness.store import SeenCheckpoint, TrustedKey, WitnessFolder
from shared.verifier.merkle import HASH_BYTES, is_consistent
from shared.verifier.notes import TIMESTAMP_BYTES, MalformedNote, SignedNote, read_note

PROOF_MAX: Final = 63
"""Hashes of a consistency proof, as the specification limits them."""


class NotCosigned(Exception):
    """The checkpoint is not cosigned; `status` and `body` are the answer."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class CheckpointSubmission:
    """What a log submits: the size it believes the witness has seen, a proof, a checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: SignedNote
    text: str

    @classmethod
    def read(cls, body: str) -> "CheckpointSubmission":
        """Return the submission in the body of a request. Raises NotCosigned (400)."""
        head, _, text = body.partition("\n\n")
        word, *lines = head.split("\n")
        try:
            name, old_size = word.split(" ")
            proof = tuple(b64decode(line, validate=True) for line in lines)
            submission = cls(int(old_size), proof, read_note(text), text)
        except (ValueError, MalformedNote) as error:
            raise NotCosigned(400, "malformed request") from error
        is_bounded = len(proof) <= PROOF_MAX and all(len(each) == HASH_BYTES for each in proof)
        if name != "old" or not is_bounded or not 0 <= submission.old_size <= submission.note.size:
            raise NotCosigned(400, "malformed request")
        return submission


def cosign(folder: WitnessFolder, submission: CheckpointSubmission, now: int) -> str:
    """Cosign a checkpoint at `now` (Unix seconds) and return the signature line.

    Raises NotCosigned: 404 unknown log, 403 not signed by it, 409 another size or root was seen,
    422 not a continuation.
    """
    note = submission.note
    _check_signed(folder.trusted_keys(note.origin), note)
    seen = folder.last(note.origin)
    if submission.old_size != seen.size:
        raise NotCosigned(409, f"{seen.size}\n")
    if note.size == seen.size and seen.size and note.root != seen.root:
        raise NotCosigned(409, f"{seen.size}\n")
    if not is_consistent(seen.size, seen.root, note.size, note.root, submission.proof):
        raise NotCosigned(422, "the log does not continue what this witness has seen")
    line = _signature_line(folder, note, now)
    text = submission.text.rstrip("\n") + "\n" + line
    folder.remember(note.origin, SeenCheckpoint(note.size, note.root), text)
    return line


def _check_signed(trusted: list[TrustedKey], note: SignedNote) -> None:
    if not trusted:
        raise NotCosigned(404, "unknown log")
    valid = (each.key for each in trusted if each.last_size is None or note.size <= each.last_size)
    if not any(note.is_signed_by(key) for key in valid):
        raise NotCosigned(403, "not signed by the key of this log")


def _signature_line(folder: WitnessFolder, note: SignedNote, now: int) -> str:
    message = f"cosignature/v1\ntime {now}\n{note.body}".encode()
    signature = now.to_bytes(TIMESTAMP_BYTES) + folder.private_key.sign(message)
    encoded = b64encode(folder.key.id + signature).decode()
    return f"— {folder.name} {encoded}\n"
