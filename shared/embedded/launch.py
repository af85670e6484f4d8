"""The last step before a server starts: changes the user, then executes the server.

Run by path with `python -I -S launch.py '<json>' program arguments...`, never imported: a new
process with one thread may change users and namespaces safely, unlike code between fork and exec of
a threaded parent. Exit code 126: the program could not be started; the reason is on standard error.
"""

import ctypes
import errno
import json
import os
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CLONE_NEWUSER = 0x10000000


def enter_user_namespace(seen_as: int) -> None:
    """Appear to the program as the user `seen_as`, while files still belong to the real user."""
    uid = os.geteuid()
    gid = os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
    write_process_file("setgroups", "deny")
    write_process_file("uid_map", f"{seen_as} {uid} 1")
    write_process_file("gid_map", f"{seen_as} {gid} 1")


def write_process_file(name: str, text: str) -> None:
    """Write a file of /proc about this process."""
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)


def become_user(uid: int, keep_access: bool = False, checked: bool = False) -> None:
    """Drop from root to the user `uid`. With `keep_access` it may still pass closed folders.

    Unless `checked`, access(2) says so, too: Java asks it before it reads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_KEEPCAPS, int(keep_access))
    if keep_access and not checked:
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    if keep_access:
        keep_folder_access(libc)


def keep_folder_access(libc: ctypes.CDLL) -> None:
    """Keep only root's capability to pass folders, across exec (an ambient capability)."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    permitted = sets[1]
    kept = CAP_DAC_READ_SEARCH if permitted >> CAP_DAC_READ_SEARCH & 1 else CAP_DAC_OVERRIDE
    sets[0] = sets[1] = sets[2] = 1 << kept
    if libc.capset(header, sets) or libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept, 0, 0):
        raise OSError(ctypes.get_errno(), "capabilities are not allowed here")


def die_with(parent: int, signal_number: int) -> None:
    """Have the kernel send `signal_number` when `parent` dies. Changing users would reset this."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def change_user(way: str, uid: int, checked: bool) -> None:
    """Run as `uid` in one of the ways of `ProcessUser`."""
    if way in ("drop", "reach"):
        become_user(uid, keep_access=way == "reach", checked=checked)
    elif way == "namespace":
        enter_user_namespace(uid)


def main(order: dict[str, Any], program: list[str]) -> None:
    """Apply the supervisor's `order`, then execute `program`."""
    os.umask(0o077)
    if order.get("nice"):
        os.nice(order["nice"])
    change_user(order["way"], order["uid"], order["checked"])
    os.chdir(order["folder"])
    # PostgreSQL's tools check each other in this way, which ignores capabilities.
    if order["checked"] and not os.access(program[0], os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if order["signal"]:
        die_with(order["parent"], order["signal"])
    os.execv(program[0], program)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        print(f"cannot start {sys.argv[2]}: {error}", file=sys.stderr)
        sys.exit(126)
