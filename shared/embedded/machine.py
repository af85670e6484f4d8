"""Checks of this machine before servers start: platform, disk, packages, ports."""

from __future__ import annotations

import errno
import importlib.util
import platform
import random
import shutil
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

FREE_BYTES_MIN = 1 << 30
PYTHON_MIN = (3, 11)
MACHINES = ("x86_64", "aarch64")
COMPOSE = "Use docker compose, or give the addresses of servers that run elsewhere"


class SetupError(Exception):
    """The servers cannot run on this machine. `hint` says in one sentence what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}.")
        self.message = message
        self.hint = hint


def check_machine(
    system: str = "",
    machine: str = "",
    python: tuple[int, ...] = (),
    machines: Sequence[str] = MACHINES,
) -> None:
    """Raise SetupError if there are no server packages for this Python, system or processor.

    Arguments that are empty default to this machine's.
    """
    system = system or platform.system()
    machine = machine or platform.machine()
    python = python or sys.version_info[:3]
    if python[:2] < PYTHON_MIN:
        raise python_too_old(python)
    if system != "Linux" or machine not in machines:
        raise SetupError(f"there are no server packages for {system} on {machine}", COMPOSE)


def python_too_old(python: tuple[int, ...]) -> SetupError:
    """Return the error for this version of Python."""
    version = ".".join(map(str, python))
    return SetupError(
        f"Python {version} is too old",
        "Install Python 3.11 or newer and run this again with it",
    )


def check_disk(folder: Path, free_bytes_min: int = FREE_BYTES_MIN) -> None:
    """Raise SetupError if the disk of `folder` has less than `free_bytes_min` free."""
    free = shutil.disk_usage(folder).free
    if free < free_bytes_min:
        raise SetupError(
            f"only {free >> 20} MB are free for {folder}",
            f"Free at least {free_bytes_min >> 20} MB or choose a data folder on another disk",
        )


def package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it. Raises SetupError."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupError(
            f"the package {name} is not installed", "Install requirements.lock (make does it)"
        )
    return Path(spec.origin).parent


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def first_ephemeral_port() -> int:
    """Return the lowest port that the kernel assigns to clients."""
    port_range = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    return int(port_range.split()[0])


def choose_port(taken: Iterable[int] = ()) -> int:
    """Return a free port that is not in `taken`. Raises SetupError."""
    # Below the ephemeral range: while a server is down, the kernel could otherwise assign its port
    # to one of its own clients, and the server could not restart.
    highest = first_ephemeral_port()
    for _ in range(200):
        port = random.randrange(max(1024, highest - 16000), max(1025, highest))
        if port not in taken and port_is_free(port):
            return port
    raise SetupError("no free port was found on 127.0.0.1", "Name free ports in the settings")
