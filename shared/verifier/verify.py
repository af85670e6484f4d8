"""Runs all checks of one archive."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.verifier.archive import SERVICES, Archive, MalformedArchive
from shared.verifier.checks import CHECKS, Examination
from shared.verifier.findings import Difference, Finding, Progress, Remark
from shared.verifier.notes import SignedNote, read_note
from shared.verifier.staging import Staging


def verify_archive(
    paths: Sequence[Path],
    *,
    checkpoints: Sequence[SignedNote] = (),
    trusted_keys: Sequence[str] = (),
    on_progress: Progress = lambda _: None,
) -> Iterator[Finding]:
    """Yield everything that is wrong with an archive, and what was not checked.

    `checkpoints` were kept outside of the system. `trusted_keys` are the lines of the logs' keys;
    without them those in the archive are believed. Raises MalformedArchive.
    """
    with Archive(paths) as archive, tempfile.TemporaryDirectory() as folder:
        staging = Staging(Path(folder))
        try:
            examined = Examination(archive, staging)
            yield from _check_keys(archive, trusted_keys)
            yield from _check_checkpoints(archive, checkpoints)
            for name, check in CHECKS:
                on_progress(name)
                yield from check(examined)
        finally:
            staging.close()


def _check_keys(archive: Archive, trusted_keys: Sequence[str]) -> Iterator[Finding]:
    if not trusted_keys:
        yield Remark("the keys of the logs are those in the archive; compare them with --keys")
        return
    for service in SERVICES:
        for key in archive.keys(service):
            if key.text not in trusted_keys:
                yield Difference("keys", key.text, "is not a trusted key")


def _check_checkpoints(archive: Archive, kept: Sequence[SignedNote]) -> Iterator[Finding]:
    if not kept:
        yield Remark("no checkpoint from outside: a log that was cut or rebuilt looks complete")
    for service in SERVICES:
        text = archive.read(service, "checkpoint.txt").decode()
        size, root = _size_and_root(text)
        for checkpoint in kept:
            if checkpoint.origin != f"fengping/{service}":
                continue
            subject = f"{service} at {checkpoint.size} entries"
            if checkpoint.size > size:
                yield Difference("checkpoints", subject, f"was cut: only {size} entries are left")
            elif checkpoint.size == size and checkpoint.root != root:
                yield Difference("checkpoints", subject, "was rebuilt with other entries")


def _size_and_root(text: str) -> tuple[int, bytes]:
    if not text:
        return 0, b""
    note = read_note(text)
    return note.size, note.root


__all__ = ["MalformedArchive", "verify_archive"]
