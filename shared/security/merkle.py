"""Merkle tree of RFC 6962: hashes, roots, inclusion proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# ── tree ──────────────────────────────────────────────────────────────────────────────────────────

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """An RFC 6962 Merkle tree that can grow: its size and the roots of its complete subtrees,
    largest first.

    There are as many peaks as ones in the binary number `size`, so a log of a million leaves needs
    at most 20.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def grow(self, hashes: Iterable[bytes]) -> Tree:
        """The tree with these leaf hashes added on the right."""
        size, peaks = self.size, list(self.peaks)
        for leaf_hash in hashes:
            peaks.append(leaf_hash)
            complete = size
            while complete & 1:
                right = peaks.pop()
                peaks[-1] = _node(peaks[-1], right)
                complete >>= 1
            size += 1
        return Tree(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash of RFC 6962, 2.1."""
        if not self.peaks:
            return EMPTY_ROOT
        *rest, root = self.peaks
        for peak in reversed(rest):
            root = _node(peak, root)
        return root


def inclusion_proof(hashes: Sequence[bytes], position: int) -> list[bytes]:
    """The audit path of a leaf in the tree of all `hashes` (RFC 6962, 2.1.1), nearest sibling
    first.
    """
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    if position < split:
        return [*inclusion_proof(hashes[:split], position), Tree().grow(hashes[split:]).root]
    return [*inclusion_proof(hashes[split:], position - split), Tree().grow(hashes[:split]).root]


def proven_root(leaf_hash: bytes, position: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that this proof leads to (equal to a signed root: the leaf is in it); None for a
    wrong length.
    """
    if size == 1 or not proof:
        return leaf_hash if size == 1 and not proof else None
    *nearer, sibling = proof
    split = _split(size)
    if position < split:
        below = proven_root(leaf_hash, position, split, nearer)
        return below and _node(below, sibling)
    below = proven_root(leaf_hash, position - split, size - split, nearer)
    return below and _node(sibling, below)


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)
