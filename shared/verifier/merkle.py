"""Merkle trees of RFC 6962: roots of streams of leaves, and inclusion proofs."""

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf with this content."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of the tree of these leaf hashes; keeps one hash for each level."""
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        stack.append((0, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            level, right = stack.pop()
            _, left = stack.pop()
            stack.append((level + 1, node_hash(left, right)))
    return _fold(stack)


def _fold(stack: list[tuple[int, bytes]]) -> bytes:
    if not stack:
        return hashlib.sha256(b"").digest()
    _, root = stack.pop()
    while stack:
        _, left = stack.pop()
        root = node_hash(left, root)
    return root


def root_from_path(
    leaf: bytes,
    index: int,
    size: int,
    path: Sequence[bytes],
) -> bytes | None:
    """Return the root to which an inclusion proof leads, or None if it does not fit the place.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    number = index
    last = size - 1
    root = leaf
    for sibling in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            root = node_hash(sibling, root)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        number >>= 1
        last >>= 1
    return root if last == 0 else None


def is_consistent(
    old_size: int,
    old_root: bytes,
    size: int,
    root: bytes,
    proof: Sequence[bytes],
) -> bool:
    """Return whether the proof shows that the larger tree begins with the smaller one.

    Source: RFC 9162, section 2.1.4.2.
    """
    if old_size == size or old_size == 0:
        return not proof and (old_size == 0 or old_root == root)
    if not proof or old_size > size:
        return False
    is_power = not old_size & (old_size - 1)
    path = [old_root, *proof] if is_power else list(proof)
    return _replay(old_size, size, path) == (old_root, root)


def _replay(
    old_size: int,
    size: int,
    path: list[bytes],
) -> tuple[bytes, bytes] | None:
    """Return the roots of both trees that the path leads to; None if it has the wrong length."""
    number = old_size - 1
    last = size - 1
    while number & 1:
        number >>= 1
        last >>= 1
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if number & 1 or number == last:
            old_root = node_hash(sibling, old_root)
            new_root = node_hash(sibling, new_root)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            new_root = node_hash(new_root, sibling)
        number >>= 1
        last >>= 1
    return (old_root, new_root) if last == 0 else None
