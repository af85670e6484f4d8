"""Verifies the audit log in the database, page by page: a log may be larger than memory."""

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import groupby
from typing import Final

from shared.security.audit import (
    AuditEntry,
    AuditViolation,
    Checkpoint,
    SqlTransaction,
    Verifier,
    ViolationKind,
    entry_from_row,
    in_order,
    violation_of,
)
from shared.security.merkle import Tree

PAGE_MAX: Final = 2_000
BEFORE_ALL: Final = -(2**63)
OnProgress = Callable[[int], None]
"""Receives the number of entries that were verified."""


async def verify_log(
    tx: SqlTransaction,
    verifier: Verifier,
    kept: Sequence[Checkpoint] = (),
    *,
    on_progress: OnProgress = lambda _: None,
) -> AuditViolation | None:
    """Return the first bad entry of this schema's log, or None.

    `kept` are checkpoints from outside: a log that was cut or rebuilt contradicts them.
    """
    tree = Tree()
    after = BEFORE_ALL
    async for signed in _checkpoints(tx, verifier.origin, kept):
        if not all(map(verifier.verify_checkpoint, signed)):
            return AuditViolation(tree.size, ViolationKind.FORGED)
        size = signed[0].size
        grown, last, is_ordered = await _grow(tx, tree, after, size)
        roots = {checkpoint.root for checkpoint in signed}
        if not is_ordered or roots != {grown.root} or grown.size != size:
            return await _first_violation(tx, verifier, tree.size, after, size)
        tree = grown
        after = last
        on_progress(tree.size)
    unproved = await _page(tx, after, 1)
    return AuditViolation(tree.size, ViolationKind.UNPROVED) if unproved else None


async def _grow(
    tx: SqlTransaction,
    tree: Tree,
    after: int,
    size: int,
) -> tuple[Tree, int, bool]:
    """Return the tree with the entries up to `size`, the last position, and if all are in order."""
    is_ordered = True
    while tree.size < size:
        page = await _page(tx, after, size - tree.size)
        if not page:
            break
        is_ordered = is_ordered and in_order(page, tree.size)
        tree = tree.grow(entry.computed_hash() for entry in page)
        after = _position(page[-1])
    return tree, after, is_ordered


async def _first_violation(
    tx: SqlTransaction,
    verifier: Verifier,
    start: int,
    after: int,
    size: int,
) -> AuditViolation:
    position = start
    while position < size:
        page = await _page(tx, after, size - position)
        if not page:
            return AuditViolation(position, ViolationKind.MISSING)
        for entry in page:
            kind = violation_of(entry, position, verifier)
            if kind is not None:
                return AuditViolation(position, kind)
            position += 1
        after = _position(page[-1])
    return AuditViolation(start, ViolationKind.REBUILT)


def _position(entry: AuditEntry) -> int:
    assert entry.position is not None, "only sealed entries are read"
    return entry.position


async def _page(tx: SqlTransaction, after: int, limit: int) -> list[AuditEntry]:
    rows = await tx.fetch(_ENTRIES, after, min(limit, PAGE_MAX))
    return [entry_from_row(row) for row in rows]


async def _checkpoints(
    tx: SqlTransaction, origin: str, kept: Sequence[Checkpoint]
) -> AsyncIterator[list[Checkpoint]]:
    """Yield the checkpoints of each size, those from outside among them, smallest size first."""
    last = -1
    while True:
        rows = await tx.fetch(_CHECKPOINTS, last, PAGE_MAX)
        stored = [Checkpoint(origin, **row) for row in rows]
        end = stored[-1].size if len(stored) == PAGE_MAX else None
        outside = [one for one in kept if one.size > last and (end is None or one.size <= end)]
        together = sorted((*stored, *outside), key=_size)
        for _, same_size in groupby(together, key=_size):
            yield list(same_size)
        if end is None:
            return
        last = end


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


_ENTRIES: Final = """
select at, actor, action, subject, details::text as details, position, leaf_hash, proof
from audit where position > $1 order by position limit $2
"""
_CHECKPOINTS: Final = """
select size, root, signature from checkpoints where size > $1 order by size limit $2
"""
