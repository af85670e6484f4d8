"""Decoders for the child process of a test: they import nothing, so that its second is theirs."""

import os
from pathlib import Path


def allocate(content: bytes) -> bytes:
    """Return as many bytes as the number says."""
    return bytes(int(content))


def compute(content: bytes) -> bytes:
    """Never end."""
    while True:
        pass


def environment(content: bytes) -> bytes:
    """Return the environment of the process."""
    return repr(sorted(os.environ)).encode()


def write_file(content: bytes) -> bytes:
    """Write a file of ten bytes."""
    Path(content.decode()).write_bytes(b"x" * 10)
    return b"written"
