"""A server as a child process: start, wait until ready, stop, kill, restart.

Children run in their own session, so that Ctrl-C reaches only the supervisor, which then stops them
in order. The kernel stops them when the supervisor is killed (`PR_SET_PDEATHSIG`).
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.embedded.machine import COMPOSE, SetupError, port_is_free

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
RETRY_SECONDS = 0.25
START_ATTEMPTS = 40
TOOL_SECONDS = 300
LOG_BYTES_MAX = 8 << 20
PASSED_VARIABLES = ("LD_LIBRARY_PATH", "TMPDIR")


class TransientStartError(Exception):
    """The server stopped for a transient reason: start it again."""


def process_start_time(pid: int) -> str | None:
    """Return the start time of a process in clock ticks; None if it ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


@dataclass(frozen=True)
class ProcessUser:
    """The user that a server runs as.

    `way` is "same" (the supervisor's user), "drop" (user `uid`), "reach" (user `uid` that may pass
    folders closed to it) or "namespace" (the supervisor's user, which appears as `uid`).
    """

    way: str = "same"
    uid: int = -1

    @property
    def owner(self) -> int:
        """User id of the owner of its files."""
        return self.uid if self.way in ("drop", "reach") else os.geteuid()


def launcher(
    program: Sequence[str | Path],
    folder: Path,
    user: ProcessUser,
    death_signal: int = 0,
    nice: int = 0,
    *,
    checked: bool = False,
) -> list[str]:
    """Return the command that runs `program` in `folder` as `user`.

    With `death_signal` 0 it outlives the supervisor. `checked`: fail unless the user may run the
    program without a capability.
    """
    order = {
        "way": user.way,
        "uid": user.uid,
        "folder": str(folder),
        "parent": os.getpid(),
        "signal": death_signal,
        "nice": nice,
        "checked": checked,
    }
    return [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order), *map(str, program)]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a server: nothing of ours, and UTF-8, which Java's paths need."""
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    own = {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return passed | own


def run(
    program: Sequence[str | Path],
    folder: Path,
    user: ProcessUser = ProcessUser(),
    stdin: str = "",
) -> str:
    """Run a server's tool and return its output. Raises SetupError with its last line."""
    name = Path(program[0]).name
    try:
        done = subprocess.run(
            launcher(program, folder, user),
            input=stdin,
            text=True,
            errors="replace",
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOOL_SECONDS,
            env=environment(folder),
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"{name} took more than {TOOL_SECONDS} s", "Start again when the machine is less busy"
        ) from None
    if done.returncode:
        raise setup_error(name, done.stdout)
    return done.stdout


CAUSES = {
    "No space left on device": (
        "the disk is full",
        "Free at least 1 GB or choose a data folder on another disk",
    ),
    "Address already in use": (
        "its port is in use",
        "Stop the other program or name another port in the settings",
    ),
    "Exec format error": ("its program is not made for this processor", COMPOSE),
    "Permission denied": (
        "a file belongs to another user",
        "Run as the owner of the data folder or choose another",
    ),
    "Cannot allocate memory": (
        "there is not enough memory",
        "Free about 1 GB of memory and start again",
    ),
}


def setup_error(
    name: str,
    output: str,
    log: Path | None = None,
) -> SetupError:
    """Return the error that explains the last output of a server."""
    for phrase, (cause, hint) in CAUSES.items():
        if phrase.lower() in output.lower():
            return SetupError(f"{name} cannot start: {cause}", hint)
    lines = output.strip().splitlines() or ["no output"]
    hint = f"Read {log}" if log else "Read the message above"
    return SetupError(f"{name} cannot start: {lines[-1][:300]}", hint)


def end(
    child: subprocess.Popen[bytes],
    stop_signal: int,
    seconds: float,
) -> None:
    """Stop `child` and wait; kill it after `seconds`. Blocking."""
    child.send_signal(stop_signal)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def kill_tree(child: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to `child` and its children."""
    children = children_of(child.pid) if child.poll() is None else []
    child.kill()
    for pid in children:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    child.wait(10)


class ServerProcess(ABC):
    """A server of the stack, on 127.0.0.1. `name` also names its log and pid file.

    It runs in `folder`, which holds everything it stores.
    """

    stop_signal = signal.SIGTERM
    stop_seconds = 15.0
    ready_seconds = 180.0  # a busy machine with two processors took 40 s
    transient_log_lines: tuple[str, ...] = ()
    """Log messages of transient failures, after which the server is started again."""

    def __init__(
        self,
        name: str,
        data: Path,
        *,
        port: int,
        folder: Path,
    ) -> None:
        self.name = name
        self.data = data
        self.port = port
        self.folder = folder
        self.log = data / "logs" / f"{name}.log"
        self.user = ProcessUser()
        self.should_run = False
        self._pid_file = data / "run" / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None
        self._lifecycle_lock = asyncio.Lock()
        self._log_from = 0

    @abstractmethod
    def prepare(self) -> None:
        """Create what the server needs before it starts, if missing. Blocking."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """Return program and arguments."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it answers. Blocking, at most about a second."""

    @abstractmethod
    def erase(self) -> None:
        """Remove everything it stored."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def crashed(self) -> bool:
        """Whether it should run and does not."""
        return self.should_run and not self.alive

    @property
    def pid(self) -> int | None:
        """Process id; None if it does not run."""
        return self._child.pid if self._child is not None and self.alive else None

    async def start(self) -> None:
        """Start it, if it does not run, and wait until it is ready. Raises SetupError."""
        async with self._lifecycle_lock:
            self.should_run = True
            if self.alive:
                return
            await asyncio.to_thread(self.end_predecessor)
            if not port_is_free(self.port):
                raise setup_error(f"{self.name} on port {self.port}", "Address already in use")
            await asyncio.to_thread(self.prepare)
            await self._attempt_until_ready()

    async def stop(self) -> None:
        """Stop it and wait; kill it after `stop_seconds`."""
        self.should_run = False
        async with self._lifecycle_lock:
            if self._child is None or self._child.poll() is not None:
                return
            await asyncio.to_thread(end, self._child, self.stop_signal, self.stop_seconds)
            self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill it and its children, as a crash would. `start()` restarts it."""
        self.should_run = False
        if self._child is not None:
            kill_tree(self._child)

    async def wipe(self) -> None:
        """Kill it and remove everything it stored."""
        self.kill()
        async with self._lifecycle_lock:
            await asyncio.to_thread(self.erase)

    def end_predecessor(self) -> None:
        """Wait until the process of a killed supervisor has ended, or kill it. Blocking."""
        try:
            pid, start_time = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + self.stop_seconds
        while process_start_time(int(pid)) == start_time:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    async def _attempt_until_ready(self) -> None:
        for left in reversed(range(START_ATTEMPTS)):
            self._spawn()
            try:
                return await self._until_ready()
            except TransientStartError as reason:
                if not left:
                    raise setup_error(self.name, str(reason), self.log) from None
                await asyncio.sleep(RETRY_SECONDS)

    def _spawn(self) -> None:
        self._rotate_log()
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            child = self._execute(log)
        self._child = child
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{child.pid} {process_start_time(child.pid)}")

    def _rotate_log(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _execute(self, log: BinaryIO) -> subprocess.Popen[bytes]:
        # On the event loop's thread: the death signal is sent when the *thread* that started the
        # child ends.
        return subprocess.Popen(
            launcher(self.command(), self.folder, self.user, self.stop_signal),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(self.folder),
        )

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while not await asyncio.to_thread(self.is_ready):
            if not self.alive:
                raise self._failure()
            if time.monotonic() > deadline:
                self.kill()
                raise SetupError(
                    f"{self.name} was not ready in {self.ready_seconds:.0f} s", f"Read {self.log}"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _failure(self) -> Exception:
        if not self.should_run:
            return SetupError(f"{self.name} was stopped while it started", "Start it again")
        output = self._logged_output()
        if any(words in output for words in self.transient_log_lines):
            return TransientStartError(output)
        return setup_error(self.name, output, self.log)

    def _logged_output(self) -> str:
        """Return the beginning of what it logged since its start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read(64 << 10).decode(errors="replace")
