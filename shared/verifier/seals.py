"""Seals: entries of the audit log that hold the count and the Merkle root of inputs."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.verifier.archive import Archive
from shared.verifier.findings import Difference, Findings
from shared.verifier.merkle import HASH_BYTES, leaf_hash, root_from_path, root_of
from shared.verifier.notes import Key, MalformedNote, checkpoint_body, read_note

CHECK = "seals"
SIZE_BYTES = 8
SIGNATURE_BYTES = 64
NO_SEAL = bytes(32)
SealKey = tuple[str, int]
"""(stream, number of the seal)."""


@dataclass(frozen=True)
class SealedRoot:
    """What a seal says about a stream."""

    count: int
    root: bytes
    chain: bytes


@dataclass
class Seals:
    """The seals of one service."""

    service: str
    roots: dict[SealKey, SealedRoot] = field(default_factory=dict)
    last: int = 0

    def check_leaves(self, key: SealKey, leaves: Sequence[bytes]) -> Findings:
        """Yield what is wrong with the list of leaves of a seal, as a whole."""
        stream, number = key
        subject = f"{self.service}/{stream} seal {number}"
        sealed = self.roots.get(key)
        if sealed is None:
            yield Difference(CHECK, subject, "is not in the audit log")
        elif len(leaves) != sealed.count:
            yield Difference(CHECK, subject, f"has {len(leaves)} leaves, not {sealed.count}")
        elif list(leaves) != sorted(leaves) or root_of(leaves) != sealed.root:
            yield Difference(CHECK, subject, "has a list of leaves that is not the sealed one")

    def without_leaves(self, seen: Iterable[SealKey]) -> Findings:
        """Yield the seals whose list of leaves is missing."""
        for stream, number in sorted(self.roots.keys() - set(seen)):
            if self.roots[stream, number].count:
                subject = f"{self.service}/{stream} seal {number}"
                yield Difference(CHECK, subject, "has lost its list of leaves")


def read_seals(archive: Archive, service: str, seals: Seals) -> Findings:
    """Read the seals of a service into `seals`; yield what is wrong with them."""
    keys = archive.keys(service)
    chains: dict[str, bytes] = {}
    for line in archive.lines(service, "seals.jsonl"):
        stored = json.loads(line)
        details = json.loads(stored["entry"])["details"]
        number = details["sequence"]
        subject = f"{service} seal {number}"
        if not _is_proved(stored, f"fengping/{service}", keys):
            yield Difference(CHECK, subject, "is not in the signed audit log as it stands here")
        yield from _gaps(service, seals.last, number)
        yield from _broken_chains(subject, details["streams"], chains)
        seals.last = max(seals.last, number)
        seals.roots.update(_roots(number, details["streams"]))


def _gaps(service: str, last: int, number: int) -> Findings:
    for missing in range(last + 1, number):
        yield Difference(CHECK, f"{service} seal {missing}", "is missing")
    if number <= last:
        yield Difference(CHECK, f"{service} seal {number}", "comes twice or out of order")


def _broken_chains(
    subject: str, streams: Mapping[str, Mapping[str, str | int]], chains: dict[str, bytes]
) -> Findings:
    for stream, sealed in streams.items():
        packed = int(sealed["count"]).to_bytes(8) + bytes.fromhex(str(sealed["root"]))
        expected = hashlib.sha256(chains.get(stream, NO_SEAL) + packed).hexdigest()
        if sealed["chain"] != expected:
            yield Difference(CHECK, f"{subject}/{stream}", "does not follow the seal before it")
        chains[stream] = bytes.fromhex(str(sealed["chain"]))


def _roots(
    number: int, streams: Mapping[str, Mapping[str, str | int]]
) -> Iterator[tuple[SealKey, SealedRoot]]:
    for stream, sealed in streams.items():
        root = bytes.fromhex(str(sealed["root"]))
        chain = bytes.fromhex(str(sealed["chain"]))
        yield (stream, number), SealedRoot(int(sealed["count"]), root, chain)


def _is_proved(stored: Mapping[str, str | int], origin: str, keys: Sequence[Key]) -> bool:
    """Return whether the entry is in a tree that the log has signed."""
    proof = b64decode(str(stored["proof"]))
    size = int.from_bytes(proof[:SIZE_BYTES])
    signature = proof[SIZE_BYTES : SIZE_BYTES + SIGNATURE_BYTES]
    joined = proof[SIZE_BYTES + SIGNATURE_BYTES :]
    path = [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
    leaf = leaf_hash(str(stored["entry"]).encode())
    root = root_from_path(leaf, int(stored["position"]), size, path)
    if root is None:
        return False
    body = checkpoint_body(origin, size, root).encode()
    return any(key.has_signed(body, signature) for key in keys)


def check_checkpoint(archive: Archive, service: str) -> Findings:
    """Yield a difference if the last checkpoint of the log is missing or not signed by its key."""
    subject = f"{service}/checkpoint.txt"
    try:
        note = read_note(archive.read(service, "checkpoint.txt").decode())
    except MalformedNote:
        yield Difference(CHECK, subject, "is not a signed checkpoint")
        return
    keys = archive.keys(service)
    is_ours = note.origin == f"fengping/{service}"
    if not is_ours or not any(note.is_signed_by(key) for key in keys):
        yield Difference(CHECK, subject, "is not signed by the key of this log")
