"""The jars of Apache Kafka: 45 files, listed in `kafka-jars.lock` with their sha256.

They are downloaded once per user, from Maven Central or from FENGPING_MAVEN_REPOSITORY (a mirror).
A file that differs from the lock is rejected.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.embedded.machine import SetupError

LOCK = Path(__file__).with_name("kafka-jars.lock")
VERSION = "4.4.0"
THREADS = 8
TIMEOUT_SECONDS = 20
Progress = Callable[[str, int, int], None]
"""Called for each step of a start: name (jars, postgres, valkey, kafka, ready), done, total."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """File name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def cache_folder(data: Path) -> Path:
    """Return the folder that all data folders of a user share.

    $FENGPING_CACHE, else ~/.cache/fengping, else a folder in `data`. One that is complete need not
    be writable.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    cache = Path(os.environ.get("FENGPING_CACHE") or home / "fengping") / f"kafka-{VERSION}"
    if create_folder(cache) or not missing_jars(cache):
        return cache
    inside = data / "cache" / f"kafka-{VERSION}"
    inside.mkdir(parents=True, exist_ok=True)
    return inside


def create_folder(folder: Path) -> bool:
    """Create `folder` if it is missing; return whether this user can write to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def locked_jars() -> list[Jar]:
    """Return the lines of the lock, in class path order."""
    lines = LOCK.read_text().splitlines()
    return [Jar(*line.split()) for line in lines if line.strip()]


def jar_paths(cache: Path) -> list[Path]:
    """Return the paths of the jars in `cache`, in class path order."""
    return [cache / "jars" / jar.name for jar in locked_jars()]


def fetch_jars(
    cache: Path,
    progress: Progress,
    cancelled: threading.Event,
) -> list[Path]:
    """Fetch the jars that are missing or damaged in `cache`; return all, in class path order.

    Blocking; ends early when `cancelled`. Raises SetupError if there is no network, if the disk is
    full, or for a jar that differs from the lock.
    """
    if not missing_jars(cache):
        return jar_paths(cache)
    (cache / "jars").mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first starts at once: the second finds all fetched
        missing = missing_jars(cache)
        if missing:
            remove_remains(cache, "fetch-*")
            fetch_missing(missing, cache, progress, cancelled)
    return jar_paths(cache)


def missing_jars(cache: Path) -> list[Jar]:
    """Return the jars that are missing or damaged in `cache`."""
    folder = cache / "jars"
    return [jar for jar in locked_jars() if not is_intact(folder / jar.name, jar)]


def remove_remains(folder: Path, pattern: str) -> None:
    """Remove the temporary folders of processes that were killed."""
    for remains in folder.glob(pattern):
        shutil.rmtree(remains, ignore_errors=True)


def fetch_missing(
    missing: list[Jar],
    cache: Path,
    progress: Progress,
    cancelled: threading.Event,
) -> None:
    """Fetch `missing` until `cancelled`, reporting progress among all jars. Raises SetupError."""
    total = len(locked_jars())
    intact = total - len(missing)
    for done in fetch_all(missing, cache):
        progress("jars", intact + done, total)
        if cancelled.is_set():
            break


@contextmanager
def exclusive_lock(name: Path) -> Iterator[bool]:
    """Yield whether this process is the only one in the block.

    If it is, the remains of processes that were killed in the block are removed.
    """
    with name.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        remove_remains(name.parent, "train-*")
        yield True


def is_intact(path: Path, jar: Jar) -> bool:
    """Return whether `path` holds exactly the bytes that the lock names."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def fetch_all(jars: list[Jar], cache: Path) -> Iterator[int]:
    """Fetch `jars` in parallel into `cache`; yield after each how many are fetched.

    Fetching ends when the caller stops iterating. Raises SetupError.
    """
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as folder,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        fetches = [pool.submit(fetch, jar, Path(folder), cache / "jars" / jar.name) for jar in jars]
        try:
            for done, finished in enumerate(as_completed(fetches), 1):
                finished.result()
                yield done
        finally:
            pool.shutdown(cancel_futures=True)


def fetch(
    jar: Jar,
    folder: Path,
    target: Path,
) -> None:
    """Download one jar to `folder`, verify it, and move it to `target`. Raises SetupError."""
    try:
        path = download(jar, folder)
    except OSError as error:  # of the network too: the exceptions of requests are OSErrors
        raise download_error(jar, error) from error
    except RuntimeError as error:
        raise download_error(jar, OSError(str(error))) from error
    if not is_intact(path, jar):
        raise wrong_content(jar)
    os.replace(path, target)


def wrong_content(jar: Jar) -> SetupError:
    """Return the error for a download that differs from the lock."""
    return SetupError(
        f"{jar.name} does not have the sha256 that kafka-jars.lock names, so it was refused",
        "Try another network or mirror (FENGPING_MAVEN_REPOSITORY): the download is not the "
        "published file",
    )


def download(jar: Jar, folder: Path) -> Path:
    """Download one jar from the repository. Raises OSError or RuntimeError."""
    from jgo.maven import MavenContext  # takes 0.3 s to import, needed once per machine

    logging.getLogger("jgo").setLevel(logging.ERROR)
    mirror = os.environ.get("FENGPING_MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=folder,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=TIMEOUT_SECONDS,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())


def download_error(jar: Jar, error: OSError) -> SetupError:
    """Return the error that explains a failed download to a person."""
    if error.errno == errno.ENOSPC:
        return SetupError(
            "the disk is full",
            "Free at least 1 GB, or name a cache on another disk in FENGPING_CACHE",
        )
    return SetupError(
        f"{jar.name}, a part of Apache Kafka, could not be fetched ({type(error).__name__})",
        "Connect to the internet for the first start, name a mirror in "
        "FENGPING_MAVEN_REPOSITORY, or copy"
        f" ~/.cache/fengping/kafka-{VERSION} from a machine that has it",
    )
