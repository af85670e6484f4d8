"""Merkle trees of RFC 6962: hashes, roots and inclusion proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Nodes = dict[tuple[int, int], bytes]
"""Roots of complete subtrees: `nodes[level, n]` covers the n-th group of 2^level leaves."""


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_hashes(joined: bytes) -> list[bytes]:
    """Return the hashes that were joined to one string of bytes."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class Tree:
    """A Merkle tree that can grow: its size and the roots of its complete subtrees, largest first.

    There is one peak for each one-bit of `size`: at most 20 for a million leaves.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def grow(self, hashes: Iterable[bytes]) -> Tree:
        """Return the tree with these leaf hashes appended."""
        size = self.size
        peaks = list(self.peaks)
        for added in hashes:
            peaks.append(added)
            complete = size
            while complete & 1:
                right = peaks.pop()
                peaks[-1] = node_hash(peaks[-1], right)
                complete >>= 1
            size += 1
        return Tree(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash of RFC 6962, section 2.1."""
        return _root_of_peaks(self.peaks) if self.peaks else EMPTY_ROOT


def grow_with_proofs(tree: Tree, hashes: Sequence[bytes]) -> tuple[Tree, list[list[bytes]]]:
    """Return the tree with these leaf hashes appended, and the inclusion proof of each of them."""
    nodes = _complete_subtrees(tree, hashes)
    grown = tree.grow(hashes)
    proofs: list[list[bytes]] = []
    for n, (level, start) in enumerate(_peak_places(grown.size)):
        shared = _path_from_peak(grown.peaks, n)
        for position in range(max(start, tree.size), start + (1 << level)):
            siblings = [nodes[up, (position >> up) ^ 1] for up in range(level)]
            proofs.append(siblings + shared)
    return grown, proofs


def _root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    *rest, root = peaks
    for peak in reversed(rest):
        root = node_hash(peak, root)
    return root


def _peak_places(size: int) -> Iterator[tuple[int, int]]:
    """Yield level and first leaf of each peak, largest first."""
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            yield level, start
            start += 1 << level


def _complete_subtrees(tree: Tree, hashes: Sequence[bytes]) -> Nodes:
    """Return the peaks of `tree` and every complete subtree that the new leaves add."""
    nodes: Nodes = {}
    for (level, start), peak in zip(_peak_places(tree.size), tree.peaks, strict=True):
        nodes[level, start >> level] = peak
    for position, added in enumerate(hashes, tree.size):
        level, n, root = 0, position, added
        nodes[level, n] = root
        while n & 1:
            root = node_hash(nodes[level, n - 1], root)
            level += 1
            n >>= 1
            nodes[level, n] = root
    return nodes


def _path_from_peak(peaks: Sequence[bytes], n: int) -> list[bytes]:
    """Return the siblings from the n-th peak to the root, starting with those to its right."""
    right = [_root_of_peaks(peaks[n + 1 :])] if n + 1 < len(peaks) else []
    return [*right, *reversed(peaks[:n])]


def inclusion_proof(hashes: Sequence[bytes], position: int) -> list[bytes]:
    """Return the audit path of a leaf in the tree of all `hashes`, nearest sibling first.

    Source: RFC 6962, section 2.1.1.
    """
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    if position < split:
        return [*inclusion_proof(hashes[:split], position), Tree().grow(hashes[split:]).root]
    return [*inclusion_proof(hashes[split:], position - split), Tree().grow(hashes[:split]).root]


def consistency_proof(tree: Tree, hashes: Sequence[bytes]) -> list[bytes]:
    """Return the proof that the tree with `hashes` appended continues `tree`.

    Source: RFC 6962, section 2.1.2. It needs no earlier leaf: the peaks of `tree` are enough.
    """
    nodes = _complete_subtrees(tree, hashes)
    size = tree.size + len(hashes)
    return _subproof(nodes, tree.size, 0, size) if 0 < tree.size < size else []


def _subproof(nodes: Nodes, old: int, start: int, end: int) -> list[bytes]:
    """Return the proof within the leaves from `start` to `end`, of which those before `old` are
    old.
    """
    if old == end:
        return [] if start == 0 else [_range_root(nodes, start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(nodes, old, start, middle), _range_root(nodes, middle, end)]
    return [*_subproof(nodes, old, middle, end), _range_root(nodes, start, middle)]


def _range_root(nodes: Nodes, start: int, end: int) -> bytes:
    size = end - start
    level = size.bit_length() - 1
    if size == 1 << level and not start % size:
        return nodes[level, start >> level]
    middle = start + _split(size)
    return node_hash(_range_root(nodes, start, middle), _range_root(nodes, middle, end))


def proven_root(
    leaf: bytes,
    position: int,
    size: int,
    proof: Sequence[bytes],
) -> bytes | None:
    """Return the root to which `proof` leads from the leaf hash; None if it has the wrong length.

    If the root equals a signed one, the leaf is in that tree at that position.
    """
    if size == 1 or not proof:
        return leaf if size == 1 and not proof else None
    *nearer, sibling = proof
    split = _split(size)
    if position < split:
        below = proven_root(leaf, position, split, nearer)
        return below and node_hash(below, sibling)
    below = proven_root(leaf, position - split, size - split, nearer)
    return below and node_hash(sibling, below)


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)
