"""Checkpoints on their way out of the system: the newest, its proof, the witness's signature."""

from dataclasses import dataclass
from typing import Final

from shared.security.audit import Checkpoint, SqlTransaction
from shared.security.merkle import Tree, consistency_proof, split_hashes

STEP_MAX: Final = 10_000
"""Entries between two checkpoints that a witness is shown one after the other."""


@dataclass(frozen=True, slots=True)
class WitnessStep:
    """The next checkpoint for a witness that has seen `old_size` entries, and the proof."""

    old_size: int
    proof: list[bytes]
    checkpoint: Checkpoint


class UnknownSize(Exception):
    """A witness has seen a size of this log for which the log has no checkpoint."""


async def newest_checkpoint(tx: SqlTransaction, origin: str) -> Checkpoint | None:
    """Return the newest checkpoint of this schema's log."""
    rows = await tx.fetch(_NEWEST)
    return Checkpoint(origin, **rows[0]) if rows else None


async def cosigned_size(tx: SqlTransaction) -> int:
    """Return the size that the witness last cosigned; 0 if none."""
    return int((await tx.fetch(_COSIGNED_SIZE))[0]["size"])


async def newest_cosignature(tx: SqlTransaction) -> tuple[int, str] | None:
    """Return the size that was cosigned last, and the witness's signature line."""
    rows = await tx.fetch(_COSIGNATURE)
    if not rows:
        return None
    size, line = rows[0].values()
    return size, line


async def next_step(tx: SqlTransaction, origin: str, old_size: int) -> WitnessStep | None:
    """Return what to show a witness that has seen `old_size` entries; None if it has seen all.

    Raises UnknownSize if the log never had, or has no longer, a checkpoint of that size.
    """
    tree = await _tree_at(tx, old_size)
    rows = await tx.fetch(_NEXT, old_size, old_size + STEP_MAX)
    if not rows:
        return None
    checkpoint = Checkpoint(origin, **rows[0])
    hashes = await tx.fetch(_HASHES, old_size, checkpoint.size)
    proof = consistency_proof(tree, [leaf_hash for row in hashes for leaf_hash in row.values()])
    return WitnessStep(old_size, proof, checkpoint)


async def _tree_at(tx: SqlTransaction, size: int) -> Tree:
    if size == 0:
        return Tree()
    rows = await tx.fetch(_PEAKS, size)
    if not rows:
        raise UnknownSize(size)
    [peaks] = rows[0].values()
    return Tree(size, tuple(split_hashes(peaks)))


async def seconds_behind(tx: SqlTransaction) -> float:
    """Return the age of the oldest checkpoint that the witness has not cosigned; 0 if none is."""
    return float((await tx.fetch(_BEHIND))[0]["seconds"])


async def store_cosignature(tx: SqlTransaction, size: int, line: str) -> None:
    """Store the witness's signature of the checkpoint of this size."""
    await tx.run(_STORE, size, line)


_NEWEST: Final = "select size, root, signature from checkpoints order by size desc limit 1"
_COSIGNED_SIZE: Final = "select coalesce(max(size), 0) as size from cosignatures"
_COSIGNATURE: Final = "select size, line from cosignatures order by size desc limit 1"
_BEHIND: Final = """
select coalesce(extract(epoch from clock_timestamp() - min(at)), 0) as seconds from checkpoints
where size > (select coalesce(max(size), 0) from cosignatures)
"""
_PEAKS: Final = "select peaks from checkpoints where size = $1"
# The largest within a step; without one, the next.
_NEXT: Final = """
select size, root, signature from checkpoints where size > $1
order by size > $2, case when size > $2 then size else -size end limit 1
"""
_HASHES: Final = """
select leaf_hash from audit where position >= $1 and position < $2 order by position
"""
_STORE: Final = "insert into cosignatures (size, line) values ($1, $2) on conflict do nothing"
