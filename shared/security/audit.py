"""A tamper-evident audit log: entries, their Merkle tree, signed checkpoints.

An insider with every right on the database must not be able to change, remove, insert or reorder
entries unnoticed, and verification names the first bad entry.

Entries are inserted unsealed in the business transaction. One sealer per schema numbers them,
appends them to an RFC 6962 tree and signs a checkpoint of the tree (C2SP tlog-checkpoint). Each
entry keeps its inclusion proof for that checkpoint (C2SP tlog-proof). The tree shows that the log
was changed, however the rows were rewritten; the proofs show which entry. Until an entry is sealed
(at most 5 s) its row can be removed unnoticed. Whoever also has the signing key can rebuild the
whole log: only checkpoints kept elsewhere (a witness, a file, Kafka, paper) reveal that; pass them
to `verify`. See docs/decisions/audit-log.md.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby, islice
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.security.merkle import Tree, grow_with_proofs, leaf_hash, proven_root, split_hashes

# ── entries ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry. The sealer sets the last three fields.

    `details` contains ids, codes and hashes, never personal data.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] | str
    position: int | None = None
    leaf_hash: bytes | None = None
    proof: bytes | None = None

    def computed_hash(self) -> bytes:
        """Return the RFC 6962 leaf hash of the canonical JSON of the entry."""
        return leaf_hash(canonical(self))


def entry_from_row(row: Mapping[str, Any]) -> AuditEntry:
    """Return the entry in a row of the table `audit` or of its export.

    `details` is JSON text or an object.
    """
    return AuditEntry(**{name: row[name] for name in AuditEntry.__dataclass_fields__})


def canonical(entry: AuditEntry) -> bytes:
    """Return the canonical JSON of an entry.

    Keys are sorted, without whitespace; instants are UTC with microseconds; decimals keep their
    digits.
    """
    details = entry.details if isinstance(entry.details, str) else json.dumps(entry.details)
    content = {
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        # As a binary float two different long numbers would be equal.
        "details": _DECODER.decode(details),
    }
    return _ENCODER.encode(content).encode()


def _decimal(number: Decimal) -> dict[str, str]:
    return {"decimal": str(number)}


_DECODER: Final = json.JSONDecoder(parse_float=Decimal)
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_decimal
)


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement that the log `origin` had this root at `size` entries."""

    origin: str
    size: int
    root: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The signed text, a C2SP tlog-checkpoint body of three lines."""
        return checkpoint_text(self.origin, self.size, self.root)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


@dataclass(frozen=True, slots=True)
class EntryProof:
    """Proof that an entry is in the log: the checkpoint's size and signature and the audit path.

    The root need not be stored: the path leads to it.
    """

    size: int
    signature: bytes
    path: Sequence[bytes]

    def encode(self) -> bytes:
        return self.size.to_bytes(SIZE_BYTES) + self.signature + b"".join(self.path)

    @classmethod
    def decode(cls, encoded: bytes) -> EntryProof:
        """Return the proof; a malformed one leads to no signed root."""
        signature_end = SIZE_BYTES + SIGNATURE_BYTES
        size = int.from_bytes(encoded[:SIZE_BYTES])
        path = split_hashes(encoded[signature_end:])
        return cls(size, encoded[SIZE_BYTES:signature_end], path)


SIZE_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """A public key that was replaced when its log had `last_size` entries."""

    key: Ed25519PublicKey
    last_size: int


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half of a `Signer`. `origin` names the log, as `fengping/intake`.

    Retired keys verify what they signed before they were replaced, and nothing longer.
    """

    origin: str
    key: Ed25519PublicKey
    retired: tuple[RetiredKey, ...] = ()

    def note(self, checkpoint: Checkpoint) -> str:
        """Return the checkpoint as a C2SP signed note, for witnesses and for paper."""
        public_key = (self._key_of(checkpoint) or self.key).public_bytes_raw()
        name = self.origin.encode()
        key_id = hashlib.sha256(name + b"\n" + ED25519_NOTE + public_key).digest()[:4]
        signature = b64encode(key_id + checkpoint.signature).decode()
        return f"{checkpoint.text}\n— {self.origin} {signature}\n"

    def key_lines(self) -> list[str]:
        """Return the public keys of the log as C2SP vkeys.

        A retired key is followed by the size of the log up to which it signed.
        """
        retired = [f"{vkey(self.origin, old.key)} {old.last_size}" for old in self.retired]
        return [vkey(self.origin, self.key), *retired]

    def verify_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Return whether this is a genuine checkpoint of this log."""
        is_ours = checkpoint.origin == self.origin
        return is_ours and self._key_of(checkpoint) is not None

    def verify_entry(self, entry: AuditEntry, position: int) -> bool:
        """Return whether this content was sealed at this position."""
        proof = EntryProof.decode(entry.proof or b"")
        if not 0 <= position < proof.size:
            return False
        root = proven_root(entry.computed_hash(), position, proof.size, proof.path)
        if root is None:
            return False
        return self.verify_checkpoint(Checkpoint(self.origin, proof.size, root, proof.signature))

    def _key_of(self, checkpoint: Checkpoint) -> Ed25519PublicKey | None:
        """Return the key that signed a checkpoint and was current at its size; None if none did."""
        still_valid = (old.key for old in self.retired if checkpoint.size <= old.last_size)
        for key in (self.key, *still_valid):
            if _is_signed(key, checkpoint.signature, checkpoint.text):
                return key
        return None


def _is_signed(key: Ed25519PublicKey, signature: bytes, text: str) -> bool:
    try:
        key.verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True


def vkey(name: str, key: Ed25519PublicKey) -> str:
    """Return a public key as a C2SP vkey line: name, key id, and type with key."""
    typed = ED25519_NOTE + key.public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + typed).hexdigest()[:8]
    return f"{name}+{key_id}+{b64encode(typed).decode()}"


ED25519_NOTE: Final = b"\x01"
"""Signature type of a C2SP signed note."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The private key that seals one log."""

    origin: str
    key: Ed25519PrivateKey = field(repr=False)
    retired: tuple[RetiredKey, ...] = ()

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.origin, self.key.public_key(), self.retired)

    def checkpoint(self, tree: Tree) -> Checkpoint:
        """Return a signed checkpoint of `tree`."""
        text = checkpoint_text(self.origin, tree.size, tree.root)
        return Checkpoint(self.origin, tree.size, tree.root, self.key.sign(text.encode()))


# ── verification ──────────────────────────────────────────────────────────────────────────────────


class ViolationKind(StrEnum):
    """What is wrong with a log, as a sentence about the entry at a position."""

    CHANGED = "内容与封存时不一致"
    MISSING = "已被删除"
    FOREIGN = "不是在此位置封存的记录"
    REBUILT = "所在批次与已签名的检查点不一致（日志被整体重建）"
    UNPROVED = "已编号，但没有检查点为其作证（检查点被删除）"
    FORGED = "对应的检查点签名无效"


@dataclass(frozen=True, slots=True)
class AuditViolation:
    """The first bad entry of a log. `position` counts from 0."""

    position: int
    kind: ViolationKind

    @property
    def sentence(self) -> str:
        """The violation as a sentence for the person who runs the check."""
        return f"第 {self.position + 1} 条审计记录{self.kind}"


def verify(
    entries: Iterable[AuditEntry], checkpoints: Iterable[Checkpoint], verifier: Verifier
) -> AuditViolation | None:
    """Return the first bad entry of a log, or None if the log is as it was sealed.

    `entries` are the sealed ones by position. `checkpoints` are those of the log and any that were
    kept elsewhere: a log that was rolled back or rebuilt contradicts the latter. Only the entries
    of one checkpoint are held in memory.
    """
    remaining = iter(entries)
    tree = Tree()
    for size, same_size in groupby(sorted(checkpoints, key=_size), key=_size):
        signed = list(same_size)
        if not all(map(verifier.verify_checkpoint, signed)):
            return AuditViolation(tree.size, ViolationKind.FORGED)
        batch = list(islice(remaining, size - tree.size))
        grown = tree.grow(entry.computed_hash() for entry in batch)
        signed_roots = {checkpoint.root for checkpoint in signed}
        if not in_order(batch, tree.size) or signed_roots != {grown.root}:
            return _first_violation(batch, tree.size, size, verifier)
        tree = grown
    return AuditViolation(tree.size, ViolationKind.UNPROVED) if next(remaining, None) else None


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


def in_order(batch: Sequence[AuditEntry], start: int) -> bool:
    """Return whether these entries stand at `start` and after it, as they were hashed."""
    return all(
        entry.position == position and entry.leaf_hash == entry.computed_hash()
        for position, entry in enumerate(batch, start)
    )


def _first_violation(
    batch: Sequence[AuditEntry], start: int, size: int, verifier: Verifier
) -> AuditViolation:
    for position, entry in enumerate(batch, start):
        kind = violation_of(entry, position, verifier)
        if kind is not None:
            return AuditViolation(position, kind)
    if start + len(batch) < size:
        return AuditViolation(start + len(batch), ViolationKind.MISSING)
    return AuditViolation(start, ViolationKind.REBUILT)


def violation_of(entry: AuditEntry, position: int, verifier: Verifier) -> ViolationKind | None:
    """Return what is wrong with the entry found at `position`."""
    if entry.position != position:
        follows = entry.position is not None and entry.position > position
        return ViolationKind.MISSING if follows else ViolationKind.FOREIGN
    if entry.leaf_hash != entry.computed_hash():
        return ViolationKind.CHANGED
    return None if verifier.verify_entry(entry, position) else ViolationKind.FOREIGN


class InconsistentLog(Exception):
    """A log contradicts its earlier checkpoints; the message is a sentence for the operator."""


# ── sealing ───────────────────────────────────────────────────────────────────────────────────────

SEAL_MAX: Final = 500
"""Entries sealed in one transaction; sealing that many takes about 10 ms."""


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A batch of sealed entries: the tree with them, its checkpoint, and what each entry stores."""

    tree: Tree
    checkpoint: Checkpoint
    positions: list[int]
    hashes: list[bytes]
    proofs: list[bytes]


def seal_entries(tree: Tree, entries: Sequence[AuditEntry], signer: Signer) -> SealedBatch:
    """Seal `entries`, in this order, after those already in `tree`."""
    hashes = [entry.computed_hash() for entry in entries]
    positions = list(range(tree.size, tree.size + len(entries)))
    grown, paths = grow_with_proofs(tree, hashes)
    checkpoint = signer.checkpoint(grown)
    proofs = [EntryProof(grown.size, checkpoint.signature, path).encode() for path in paths]
    return SealedBatch(grown, checkpoint, positions, hashes, proofs)


class SqlTransaction(Protocol):
    """The methods of `shared.storage.transaction.Transaction` that sealing needs."""

    async def fetch(self, sql: str, /, *arguments: Any) -> Sequence[Any]:
        """Return the rows of a query."""

    async def run(self, sql: str, /, *arguments: Any) -> int:
        """Return the number of rows that a statement affected."""


async def lock_log(tx: SqlTransaction) -> bool:
    """Lock this schema's log for sealing, until the commit; return False if it is locked."""
    return bool((await tx.fetch(_LOCK))[0]["owner"])


async def seal(
    tx: SqlTransaction, signer: Signer, *, batch_max: int = SEAL_MAX
) -> Checkpoint | None:
    """Seal up to `batch_max` entries of this schema's log and return the checkpoint.

    Returns None if there is nothing to seal or another process is sealing. While it returns a
    checkpoint there may be more. Raises InconsistentLog if the last checkpoint was not made by this
    signer: then nothing may be added until a person has investigated.
    """
    if not await lock_log(tx):
        return None
    rows = await tx.fetch(_UNSEALED, batch_max)
    if not rows:
        return None
    tree = _tree_at_checkpoint((await tx.fetch(_LAST))[0], signer)
    entries = [entry_from_row(row) for row in rows]
    sealed = seal_entries(tree, entries, signer)
    ids = [row.get("id") for row in rows]
    await tx.run(_SEAL, ids, sealed.positions, sealed.hashes, sealed.proofs)
    await _insert_checkpoint(tx, sealed)
    return sealed.checkpoint


async def _insert_checkpoint(tx: SqlTransaction, sealed: SealedBatch) -> None:
    checkpoint = sealed.checkpoint
    peaks = b"".join(sealed.tree.peaks)
    await tx.run(_CHECKPOINT, checkpoint.size, checkpoint.root, peaks, checkpoint.signature)


def _tree_at_checkpoint(last: Mapping[str, Any], signer: Signer) -> Tree:
    """Return the tree of the last checkpoint after checking its peaks against the signed root."""
    if last["sealed"] == 0 and last["size"] is None:
        return Tree()
    checkpoint = Checkpoint(
        signer.origin, last["size"] or 0, last["root"] or b"", last["signature"] or b""
    )
    tree = Tree(checkpoint.size, tuple(split_hashes(last["peaks"] or b"")))
    is_genuine = signer.verifier.verify_checkpoint(checkpoint)
    if not is_genuine or tree.root != checkpoint.root or last["sealed"] != checkpoint.size:
        raise InconsistentLog(
            f"审计日志的最后一个检查点（{checkpoint.size} 条）与记录或签名不符，"
            "已停止封存，请立即核查"
        )
    return tree


_LOCK: Final = """
select pg_try_advisory_xact_lock(hashtextextended('audit:' || current_schema(), 0)) as owner
"""
_UNSEALED: Final = """
select id, at, actor, action, subject, details::text as details, position, leaf_hash, proof
from audit where position is null order by id limit $1
"""
# Always one row. More or fewer entries than the last checkpoint counts mean that checkpoints or
# rows were removed.
_LAST: Final = """
select sealed, size, root, peaks, signature
from (select coalesce(max(position) + 1, 0) as sealed from audit) as log
left join (select * from checkpoints order by size desc limit 1) as last on true
"""
_SEAL: Final = """
update audit
set position = s.position, leaf_hash = s.leaf_hash, proof = s.proof, sealed_at = clock_timestamp()
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])
  as s (id, position, leaf_hash, proof)
where audit.id = s.id
"""
_CHECKPOINT: Final = """
insert into checkpoints (size, root, peaks, signature) values ($1, $2, $3, $4)
"""
