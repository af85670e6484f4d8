"""Files that only their owner may read: keys and passwords."""

import os
import secrets
import stat
from pathlib import Path


class OpenToOthers(PermissionError):
    """The file can be read by other users, or written by its group."""


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises OpenToOthers, OSError if it cannot be read, UnicodeDecodeError if it is not ASCII.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    # The group may read: Kubernetes mounts secrets like that for processes that are not root.
    if mode & 0o037:
        raise OpenToOthers(f"{path} has mode {mode:04o}; only its owner may have access (0600)")
    return path.read_text(encoding="ascii")


def write_private(path: Path, text: str) -> None:
    """Replace the file at `path` atomically, readable by its owner only."""
    os.replace(_write_temporary(path, text), path)


def create_private(path: Path, text: str) -> bool:
    """Create the file at `path`; return False, and leave it alone, if it exists."""
    written = _write_temporary(path, text)
    try:
        os.link(written, path)  # Unlike a rename it fails if another process was first.
    except FileExistsError:
        return False
    finally:
        os.unlink(written)
    return True


def _write_temporary(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary
