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

    $FENGPING_CACHE, else ~/.cache/fengping, else a folder in `data`.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    cache = Path(os.environ.get("FENGPING_CACHE") or home / "fengping") / f"kafka-{VERSION}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    except OSError:
        pass
    inside = data / "cache" / f"kafka-{VERSION}"
    inside.mkdir(parents=True, exist_ok=True)
    return inside


def locked_jars() -> list[Jar]:
    """The lines of the lock, in class path order."""
    return [Jar(*line.split()) for line in LOCK.read_text().splitlines() if line.strip()]


def jar_paths(cache: Path) -> list[Path]:
    """Where the jars lie, in class path order."""
    return [cache / "jars" / jar.name for jar in locked_jars()]


def fetch_jars(cache: Path, progress: Progress, cancelled: threading.Event) -> list[Path]:
    """Fetch the jars that are missing or damaged in `cache`; give all, in class path order.

    Blocking; ends early when `cancelled`. Raises SetupError: no network, disk full, a jar that
    differs from the lock.
    """
    jars = locked_jars()
    (cache / "jars").mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first starts at once: the second finds all fetched
        missing = [jar for jar in jars if not is_intact(cache / "jars" / jar.name, jar)]
        if missing:
            for remains in cache.glob("fetch-*"):  # of a process that was killed
                shutil.rmtree(remains, ignore_errors=True)
            good = len(jars) - len(missing)
            for done in fetch_all(missing, cache):
                progress("jars", good + done, len(jars))
                if cancelled.is_set():
                    break
    return jar_paths(cache)


@contextmanager
def exclusive_lock(name: Path) -> Iterator[bool]:
    """Whether this process is the first of those inside; then remains of processes that died inside
    are removed.
    """
    with name.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        for remains in name.parent.glob("train-*"):
            shutil.rmtree(remains, ignore_errors=True)
        yield True


def is_intact(path: Path, jar: Jar) -> bool:
    """Whether `path` holds exactly the bytes the lock names."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def fetch_all(jars: list[Jar], cache: Path) -> Iterator[int]:
    """Fetch `jars` in parallel into `cache`, giving after each how many are there; a caller may
    stop asking.
    """
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as folder,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        waiting = [pool.submit(fetch, jar, Path(folder), cache / "jars" / jar.name) for jar in jars]
        try:
            for done, one in enumerate(as_completed(waiting), 1):
                one.result()
                yield done
        finally:
            pool.shutdown(cancel_futures=True)


def fetch(jar: Jar, folder: Path, target: Path) -> None:
    """Download one jar to `folder`, verify it, and move it to `target`."""
    try:
        path = download(jar, folder)
    except OSError as error:  # of the network too: the exceptions of requests are OSErrors
        raise download_error(jar, error) from error
    except RuntimeError as error:
        raise download_error(jar, OSError(str(error))) from error
    if not is_intact(path, jar):
        raise SetupError(
            f"{jar.name} does not have the sha256 that kafka-jars.lock names, so it was refused",
            "Try another network or mirror (FENGPING_MAVEN_REPOSITORY): the download is not the "
            "published file",
        )
    os.replace(path, target)


def download(jar: Jar, folder: Path) -> Path:
    """Ask the repository for one jar. Raises OSError or RuntimeError."""
    from jgo.maven import MavenContext  # takes 0.3 s to import, needed once per machine

    logging.getLogger("jgo").setLevel(logging.ERROR)
    mirror = os.environ.get("FENGPING_MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=folder,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=TIMEOUT_SECONDS,
    )
    return Path(
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    )


def download_error(jar: Jar, error: OSError) -> SetupError:
    """What a failed fetch means to a person."""
    if error.errno == errno.ENOSPC:
        return SetupError(
            "the disk is full",
            "Free at least 1 GB, or name a cache on another disk in FENGPING_CACHE",
        )
    return SetupError(
        f"{jar.name}, a part of Apache Kafka, could not be fetched ({type(error).__name__})",
        "Connect to the internet for the first start, name a mirror in FENGPING_MAVEN_REPOSITORY, or copy"
        f" ~/.cache/fengping/kafka-{VERSION} from a machine that has it",
    )
