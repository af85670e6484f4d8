"""One server as a child process: started, watched until ready, stopped with its own signal, killed,
started again.

Children live in their own session, so that Ctrl-C reaches only the supervisor, which then stops
them in order; and the kernel ends them when the supervisor dies without a word
(`PR_SET_PDEATHSIG`).
"""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import json
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
RETRY_SECONDS = 0.25
START_ATTEMPTS = 40
TOOL_SECONDS = 300
LOG_BYTES_MAX = 8 << 20
FREE_BYTES_MIN = 1 << 30
PYTHON_MIN = (3, 11)
MACHINES = ("x86_64", "aarch64")
COMPOSE = "Use docker compose, or give the addresses of servers that run elsewhere"


class SetupError(Exception):
    """Something about this machine stops the servers: `message` says what, `hint` how to go
    on (one sentence).
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}.")
        self.message = message
        self.hint = hint


class TransientStartError(Exception):
    """The server stopped for a reason that goes away by itself: worth another attempt."""


def check_machine(
    system: str = "",
    machine: str = "",
    python: tuple[int, ...] = (),
    machines: Sequence[str] = MACHINES,
) -> None:
    """Refuse a Python, system or processor for which there are no server packages. Empty: this
    machine's own.

    Raises SetupError.
    """
    system, machine, python = (
        system or platform.system(),
        machine or platform.machine(),
        python or sys.version_info[:3],
    )
    if python[:2] < PYTHON_MIN:
        version = ".".join(map(str, python))
        raise SetupError(
            f"Python {version} is too old",
            "Install Python 3.11 or newer and run this again with it",
        )
    if system != "Linux" or machine not in machines:
        raise SetupError(f"there are no server packages for {system} on {machine}", COMPOSE)


def check_disk(folder: Path, free_bytes_min: int = FREE_BYTES_MIN) -> None:
    """Refuse to start when `folder`'s disk has less than `free_bytes_min` free. Raises SetupError."""
    free = shutil.disk_usage(folder).free
    if free < free_bytes_min:
        raise SetupError(
            f"only {free >> 20} MB are free for {folder}",
            f"Free at least {free_bytes_min >> 20} MB there or choose a data folder on another disk",
        )


def package_folder(name: str) -> Path:
    """Where the installed package `name` lies, found without importing it. Raises SetupError when
    it is missing.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupError(
            f"the package {name} is not installed", "Install requirements.lock (make does it)"
        )
    return Path(spec.origin).parent


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose_port(taken: Iterable[int] = ()) -> int:
    """A free port of this machine that is not in `taken`."""
    # Below the range from which the kernel takes the client side of connections: while a server is
    # down, one of its own clients could otherwise be given its port, and the server could not come
    # back.
    highest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = random.randrange(max(1024, highest - 16000), max(1025, highest))
        if port not in taken and port_is_free(port):
            return port
    raise SetupError("no free port was found on 127.0.0.1", "Name free ports in the settings")


def process_start_time(pid: int) -> str | None:
    """The kernel's start time of process `pid` in clock ticks; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def children_of(pid: int) -> list[int]:
    """Process ids of the children of `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


@dataclass(frozen=True)
class ProcessUser:
    """As whom a server runs.

    `way`: "same" as the supervisor; "drop" to user `uid`; "reach": dropped, but able to pass
    folders closed to it; "namespace": goes on as the supervisor, but is told that it is `uid`.
    """

    way: str = "same"
    uid: int = -1

    @property
    def owner(self) -> int:
        """Whose its files are."""
        return self.uid if self.way in ("drop", "reach") else os.geteuid()


def launcher(
    program: Sequence[str | Path],
    folder: Path,
    user: ProcessUser,
    death_signal: int = 0,
    nice: int = 0,
) -> list[str]:
    """The command that becomes `program` in `folder` as `user`; `death_signal` 0: outlives the
    supervisor.
    """
    order = {
        "way": user.way,
        "uid": user.uid,
        "folder": str(folder),
        "parent": os.getpid(),
        "signal": death_signal,
        "nice": nice,
    }
    return [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order), *map(str, program)]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a server at home in `folder`: none of ours, and UTF-8, without which Java
    loses some paths.
    """
    passed = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TMPDIR") if name in os.environ
    }
    return passed | {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run(
    program: Sequence[str | Path], folder: Path, user: ProcessUser = ProcessUser(), stdin: str = ""
) -> str:
    """Run a server's tool to its end and give what it printed. Raises SetupError with its last
    words when it fails.
    """
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
        name = Path(program[0]).name
        raise SetupError(
            f"{name} took more than {TOOL_SECONDS} s", "Start again when the machine is less busy"
        ) from None
    if done.returncode:
        raise setup_error(Path(program[0]).name, done.stdout)
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


def setup_error(name: str, output: str, log: Path | None = None) -> SetupError:
    """What a server's last words mean to a person."""
    for words, (cause, hint) in CAUSES.items():
        if words.lower() in output.lower():
            return SetupError(f"{name} cannot start: {cause}", hint)
    last = (output.strip().splitlines() or ["it said nothing"])[-1][:300]
    return SetupError(
        f"{name} cannot start: {last}", f"Read {log}" if log else "Read the message above"
    )


def end(child: subprocess.Popen[bytes], stop_signal: int, seconds: float) -> None:
    """Ask `child` to stop, wait until it is gone, kill it after `seconds`. Blocking."""
    child.send_signal(stop_signal)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def kill_tree(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to `child`, if it still runs, and to its children."""
    children = children_of(child.pid) if child.poll() is None else []
    child.kill()
    for pid in children:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    child.wait(10)


class ServerProcess(ABC):
    """A server of the stack. `name` is also the name of its log and pid file; `port` is on
    127.0.0.1.
    """

    stop_signal = signal.SIGTERM
    stop_seconds = 15.0
    ready_seconds = 180.0  # a busy machine with two processors took forty
    transient_log_lines: tuple[
        str, ...
    ] = ()  # words in the log after which another attempt is worth it

    def __init__(self, name: str, data: Path, port: int) -> None:
        self.name = name
        self.data = data
        self.port = port
        self.log = data / "logs" / f"{name}.log"
        self.user = ProcessUser()
        self.should_run = False
        self._pid_file = data / "run" / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None
        self._lifecycle_lock = asyncio.Lock()
        self._log_from = 0

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs before it can start, if it is not there yet. Blocking."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """Program and arguments."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers as itself now. Blocking, at most about a second."""

    @abstractmethod
    def erase(self) -> None:
        """Remove everything it stored."""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    async def start(self) -> None:
        """Start it and wait until it is ready; nothing happens when it runs. Raises SetupError."""
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
        """Stop it in order and wait until it is gone; killed after `stop_seconds`."""
        self.should_run = False
        async with self._lifecycle_lock:
            if self._child is None or self._child.poll() is not None:
                return
            await asyncio.to_thread(end, self._child, self.stop_signal, self.stop_seconds)
            self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL to it and its children, as a crash would; gone when this returns. `start()`
        brings it back.
        """
        self.should_run = False
        if self._child is not None:
            kill_tree(self._child)

    async def wipe(self) -> None:
        """Kill it if it runs and remove everything it stored; `start()` then begins anew."""
        self.kill()
        async with self._lifecycle_lock:
            await asyncio.to_thread(self.erase)

    def end_predecessor(self) -> None:
        """Wait until the process of an earlier, killed supervisor is gone; kill it when it lingers.
        Blocking.
        """
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
        # On the thread of the event loop: the death signal comes when the *thread* that started the
        # child ends.
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._child = subprocess.Popen(
                launcher(self.command(), self.folder, self.user, self.stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(self.folder),
            )
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{self._child.pid} {process_start_time(self._child.pid)}")

    @property
    def folder(self) -> Path:
        """The folder it runs in."""
        return self.data

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
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            output = log.read(64 << 10).decode(errors="replace")
        if any(words in output for words in self.transient_log_lines):
            return TransientStartError(output)
        return setup_error(self.name, output, self.log)
