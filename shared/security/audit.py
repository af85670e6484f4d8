"""A log that shows when somebody changed it: leaves, their Merkle tree, signed checkpoints.

Context: an insider with every right on the database must not be able to change, remove, insert or
reorder what was recorded without it being seen, and the first bad leaf has to be named.
Decision: leaves are written unsealed in the business transaction. One sealer per schema numbers
them, signs each with its position, hangs them into an RFC 6962 tree and signs a checkpoint (origin,
size, root). The tree shows that something is wrong, however the rows were rewritten; the signature
of a leaf shows which one. Those that are sealed together are signed together: the key signs the
root of a small tree of them, and each leaf carries that and its own path to it.
Consequences: until it is sealed (at most 5 s) a row could be removed unseen. Who has the signing
key as well can rebuild the whole log: only checkpoints kept elsewhere (`Witness`, Kafka, paper)
show that, so hand them to `verify` too.
Alternatives: a plain hash chain also detects, but can neither prove one entry without all the
others nor say, once its hashes were recomputed, which entry was touched.
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

from shared.security.merkle import HASH_BYTES, Tree, _node

# ── leaves ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry. The last three are set by the sealer. `details` carries ids, codes and hashes, never
    personal data.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] | str
    position: int | None = None
    leaf_hash: bytes | None = None
    signature: bytes | None = None

    def computed_hash(self) -> bytes:
        """RFC 6962 leaf hash of the canonical JSON of what was recorded."""
        return hashlib.sha256(b"\x00" + canonical(self)).digest()


def entry_from_row(row: Mapping[str, Any]) -> AuditEntry:
    """The leaf in a row of the table `audit` (or of its export, with `details` as JSON text or as an
    object).
    """
    return AuditEntry(**{name: row[name] for name in AuditEntry.__dataclass_fields__})


def canonical(entry: AuditEntry) -> bytes:
    """The one way to write a leaf: sorted keys, no spaces, UTC with microseconds, decimals digit by
    digit.
    """
    details = entry.details if isinstance(entry.details, str) else json.dumps(entry.details)
    content = {
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        # A binary float would make two different long numbers look alike.
        "details": _READER.decode(details),
    }
    return _WRITER.encode(content).encode()


def _decimal(number: Decimal) -> dict[str, str]:
    return {"decimal": str(number)}


_READER: Final = json.JSONDecoder(parse_float=Decimal)
_WRITER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_decimal
)


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Signed word that the log `origin` had `size` leaves with this root. Its text is a C2SP
    tlog-checkpoint body.
    """

    origin: str
    size: int
    root: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """What is signed, in three lines; short enough for paper."""
        return _checkpoint_text(self.origin, self.size, self.root)


def _checkpoint_text(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


# Leaves that are signed together: one signature over the root of their own small tree. Each of them
# is as hard to forge as if it were signed alone, and alone it can be checked; but the key signs
# once for all. Which side a node stands on need not be told, because a leaf's place is part of it.

SIGNATURE_BYTES: Final = 64


def _signed_leaf(origin: str, position: int, leaf_hash: bytes) -> bytes:
    return hashlib.sha256(
        f"\x00{origin}\nleaf {position}\n{b64encode(leaf_hash).decode()}\n".encode()
    ).digest()


def _signed_pair(one: bytes, other: bytes) -> bytes:
    return _node(one, other) if one < other else _node(other, one)


def _signed_root(origin: str, root: bytes) -> bytes:
    return f"{origin}\nleaves\n{b64encode(root).decode()}\n".encode()


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """Their tree, from the leaves up to the root; who has no neighbour goes up as it is."""
    levels = [leaves]
    while len(below := levels[-1]) > 1:
        paired = [_signed_pair(*pair) for pair in zip(below[::2], below[1::2], strict=False)]
        levels.append(paired + below[2 * len(paired) :])
    return levels


def _path(levels: Sequence[Sequence[bytes]], leaf: int) -> bytes:
    """The neighbours on the way from a leaf to the root, nearest first."""
    neighbours = ((leaf >> up) ^ 1 for up in range(len(levels)))
    return b"".join(
        level[neighbour]
        for level, neighbour in zip(levels, neighbours, strict=True)
        if neighbour < len(level)
    )


@dataclass(frozen=True, slots=True)
class Verifier:
    """Whose signatures are believed: the public half of a `Signer`. `origin` names the log, as
    `fengping/intake`.
    """

    origin: str
    key: Ed25519PublicKey

    def verify_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Is this a genuine checkpoint of this log?"""
        return checkpoint.origin == self.origin and self._signed(
            checkpoint.signature, checkpoint.text.encode()
        )

    def verify_entry(self, entry: AuditEntry, position: int) -> bool:
        """Was this content sealed at this position?"""
        signature, root = (
            entry.signature or b"",
            _signed_leaf(self.origin, position, entry.computed_hash()),
        )
        for start in range(SIGNATURE_BYTES, len(signature), HASH_BYTES):
            root = _signed_pair(root, signature[start : start + HASH_BYTES])
        return self._signed(signature[:SIGNATURE_BYTES], _signed_root(self.origin, root))

    def _signed(self, signature: bytes, text: bytes) -> bool:
        try:
            self.key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """The hand that seals one log."""

    origin: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> Verifier:
        """What others need to check this hand."""
        return Verifier(self.origin, self.key.public_key())

    def checkpoint(self, tree: Tree) -> Checkpoint:
        """Sign the tree as it stands."""
        text = _checkpoint_text(self.origin, tree.size, tree.root)
        return Checkpoint(self.origin, tree.size, tree.root, self.key.sign(text.encode()))

    def sign_entries(self, start: int, hashes: Sequence[bytes]) -> list[bytes]:
        """Sign leaves at the positions from `start`: for each 64 bytes that all share, and 32 for
        each step to their root.
        """
        levels = _levels(
            [
                _signed_leaf(self.origin, position, leaf_hash)
                for position, leaf_hash in enumerate(hashes, start)
            ]
        )
        signed = self.key.sign(_signed_root(self.origin, levels[-1][0]))
        return [signed + _path(levels, leaf) for leaf in range(len(hashes))]


# ── verification ──────────────────────────────────────────────────────────────────────────────────


class ViolationKind(StrEnum):
    """What is wrong with a log, as a sentence about the leaf at a position."""

    CHANGED = "内容与封存时不一致"
    MISSING = "已被删除"
    FOREIGN = "不是在此位置封存的记录"
    REBUILT = "所在批次与已签名的检查点不一致（日志被整体重建）"
    UNPROVED = "已编号，但没有检查点为其作证（检查点被删除）"
    FORGED = "对应的检查点签名无效"


@dataclass(frozen=True, slots=True)
class AuditViolation:
    """The first bad leaf. `position` counts from 0."""

    position: int
    kind: ViolationKind

    @property
    def sentence(self) -> str:
        """For the person who ran the check."""
        return f"第 {self.position + 1} 条审计记录{self.kind}"


def verify(
    entries: Iterable[AuditEntry], checkpoints: Iterable[Checkpoint], verifier: Verifier
) -> AuditViolation | None:
    """The first bad leaf of a log, None when all of it is as it was sealed.

    `entries`: the sealed ones, by position. `checkpoints`: those of the log together with any that
    were kept elsewhere; a log that was rolled back or rebuilt contradicts the latter. Only the
    leaves of one checkpoint are held in memory.
    """
    rest, tree = iter(entries), Tree()
    for size, same in groupby(sorted(checkpoints, key=_size), key=_size):
        signed = list(same)
        if not all(verifier.verify_checkpoint(one) for one in signed):
            return AuditViolation(tree.size, ViolationKind.FORGED)
        batch = list(islice(rest, size - tree.size))
        grown = tree.grow(entry.computed_hash() for entry in batch)
        if not _in_order(batch, tree.size) or {grown.root} != {one.root for one in signed}:
            return _first_violation(batch, tree.size, size, verifier)
        tree = grown
    return AuditViolation(tree.size, ViolationKind.UNPROVED) if next(rest, None) else None


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


def _in_order(batch: Sequence[AuditEntry], start: int) -> bool:
    return all(
        entry.position == at and entry.leaf_hash == entry.computed_hash()
        for at, entry in enumerate(batch, start)
    )


def _first_violation(
    batch: Sequence[AuditEntry], start: int, size: int, verifier: Verifier
) -> AuditViolation:
    for position, entry in enumerate(batch, start):
        if entry.position != position:
            later = entry.position is not None and entry.position > position
            return AuditViolation(
                position, ViolationKind.MISSING if later else ViolationKind.FOREIGN
            )
        if entry.leaf_hash != entry.computed_hash():
            return AuditViolation(position, ViolationKind.CHANGED)
        if not verifier.verify_entry(entry, position):
            return AuditViolation(position, ViolationKind.FOREIGN)
    if start + len(batch) < size:
        return AuditViolation(start + len(batch), ViolationKind.MISSING)
    return AuditViolation(start, ViolationKind.REBUILT)


class InconsistentLog(Exception):
    """A log contradicts what it said before; the message is a sentence for the person on duty."""


@dataclass(slots=True)
class Witness:
    """Somebody outside who remembers what the log said last. Keep `tree` where the log's owner
    cannot reach it.
    """

    verifier: Verifier
    tree: Tree = field(default_factory=Tree)

    def accept(self, checkpoint: Checkpoint, hashes: Sequence[bytes]) -> None:
        """Go on to a newer checkpoint. `hashes`: the leaf hashes from the size last accepted up to
        the new one.

        Raises InconsistentLog when the checkpoint is forged, shorter than before, or not a
        continuation; nothing is kept of it then.
        """
        if not self.verifier.verify_checkpoint(checkpoint):
            raise InconsistentLog("检查点签名无效")
        if checkpoint.size < self.tree.size:
            raise InconsistentLog(
                f"审计日志已回退：此前有 {self.tree.size} 条，现在只有 {checkpoint.size} 条"
            )
        grown = self.tree.grow(hashes)
        if grown.size != checkpoint.size or grown.root != checkpoint.root:
            raise InconsistentLog(f"审计日志与此前的检查点（{self.tree.size} 条）不连续")
        self.tree = grown


# ── sealing ───────────────────────────────────────────────────────────────────────────────────────

SEAL_MAX: Final = 500
"""Leaves sealed at once; that many take about 6 ms."""


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A batch of sealed leaves: the tree with them, its checkpoint; for each leaf its position,
    hash, signature.
    """

    tree: Tree
    checkpoint: Checkpoint
    positions: list[int]
    hashes: list[bytes]
    signatures: list[bytes]


def seal_entries(tree: Tree, entries: Sequence[AuditEntry], signer: Signer) -> SealedBatch:
    """Seal `entries`, in this order, after those already in `tree`."""
    hashes = [entry.computed_hash() for entry in entries]
    positions = list(range(tree.size, tree.size + len(entries)))
    grown = tree.grow(hashes)
    return SealedBatch(
        grown,
        signer.checkpoint(grown),
        positions,
        hashes,
        signer.sign_entries(tree.size, hashes),
    )


class SqlTransaction(Protocol):
    """What sealing needs of a transaction of `shared.database`."""

    async def fetch(self, sql: str, /, *arguments: Any) -> Sequence[Any]:
        """Rows of a query; a column by its name."""

    async def run(self, sql: str, /, *arguments: Any) -> int:
        """Rows touched by a statement."""


async def seal(
    tx: SqlTransaction, signer: Signer, *, batch_max: int = SEAL_MAX
) -> Checkpoint | None:
    """Seal what was recorded since, in one transaction; None when there is nothing, or another
    process is sealing.

    The schema of the connection decides which log; call it again at once while it gives a
    checkpoint. Raises InconsistentLog when the last checkpoint is not one that this signer made: then
    nothing may be added before a person has looked.
    """
    if not (await tx.fetch(_LOCK))[0]["owner"]:
        return None
    rows = await tx.fetch(_UNSEALED, batch_max)
    if not rows:
        return None
    tree = _tree_at_checkpoint((await tx.fetch(_LAST))[0], signer)
    sealed = seal_entries(tree, [entry_from_row(row) for row in rows], signer)
    ids = [row["id"] for row in rows]
    await tx.run(_SEAL, ids, sealed.positions, sealed.hashes, sealed.signatures)
    checkpoint = sealed.checkpoint
    await tx.run(
        _CHECKPOINT,
        checkpoint.size,
        checkpoint.root,
        b"".join(sealed.tree.peaks),
        checkpoint.signature,
    )
    return checkpoint


def signer_for(service: str, key: Ed25519PrivateKey) -> Signer:
    """The hand that seals this service's log: one origin for each schema."""
    return Signer(f"fengping/{service}", key)


async def verify_log(tx: SqlTransaction, verifier: Verifier) -> AuditViolation | None:
    """The first bad leaf of this schema's log, None when all of it is as it was sealed."""
    entries = [entry_from_row(row) for row in await tx.fetch(_SEALED)]
    stored = await tx.fetch("select size, root, signature from checkpoints order by size")
    return verify(
        entries,
        [Checkpoint(verifier.origin, row["size"], row["root"], row["signature"]) for row in stored],
        verifier,
    )


def _tree_at_checkpoint(last: Mapping[str, Any], signer: Signer) -> Tree:
    """The tree under the last checkpoint, refused unless its peaks lead to the root that was
    signed.
    """
    if last["sealed"] == 0 and last["size"] is None:
        return Tree()
    size, root, peaks = last["size"] or 0, last["root"] or b"", last["peaks"] or b""
    tree = Tree(size, tuple(peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)))
    genuine = signer.verifier.verify_checkpoint(
        Checkpoint(signer.origin, size, root, last["signature"] or b"")
    )
    if not genuine or tree.root != root or last["sealed"] != size:
        raise InconsistentLog(
            f"审计日志的最后一个检查点（{size} 条）与记录或签名不符，已停止封存，请立即核查"
        )
    return tree


_LOCK: Final = (
    "select pg_try_advisory_xact_lock(hashtextextended('audit:' || current_schema(), 0)) as owner"
)
_UNSEALED: Final = """
select id, at, actor, action, subject, details::text as details, position, leaf_hash, signature
from audit where position is null order by id limit $1
"""
_SEALED: Final = """
select id, at, actor, action, subject, details::text as details, position, leaf_hash, signature
from audit where position is not null order by position
"""
# Always one row. Leaves beyond or short of the last checkpoint mean that checkpoints or rows were
# removed.
_LAST: Final = """
select sealed, size, root, peaks, signature
from (select coalesce(max(position) + 1, 0) as sealed from audit) as log
left join (select * from checkpoints order by size desc limit 1) as last on true
"""
_SEAL: Final = """
update audit set position = s.position, leaf_hash = s.leaf_hash, signature = s.signature, sealed_at = clock_timestamp()
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) as s (id, position, leaf_hash, signature)
where audit.id = s.id
"""
_CHECKPOINT: Final = (
    "insert into checkpoints (size, root, peaks, signature) values ($1, $2, $3, $4)"
)
