"""The last step between the supervisor and a server: takes its identity, then becomes it (same process id).

Run by path with `python -I -S launch.py '<json>' program arguments...`, never imported: a fresh process with one
thread may change users and namespaces safely, which code between fork and exec of a threaded parent may not.
Exit code 126: the program could not be started; the reason is on standard error.
"""

import ctypes
import json
import os
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def enter_user_namespace(seen_as: int) -> None:
    """Appear as the ordinary user `seen_as` to the program, while files go on belonging to the real user."""
    uid, gid = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{seen_as} {uid} 1"), ("gid_map", f"{seen_as} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def become_user(uid: int) -> None:
    """Drop from root to the user `uid` for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def die_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for `signal_number` when `parent` dies. After the change of user, which would clear the wish."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def main(order: dict[str, Any], program: list[str]) -> None:
    """Do what the supervisor's `order` says, then become `program`."""
    os.umask(0o077)
    if order.get("nice"):
        os.nice(order["nice"])
    if order["way"] == "drop":
        become_user(order["uid"])
    elif order["way"] == "namespace":
        enter_user_namespace(order["uid"])
    os.chdir(order["folder"])
    if order["signal"]:
        die_with(order["parent"], order["signal"])
    os.execv(program[0], program)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        print(f"cannot start {sys.argv[2]}: {error}", file=sys.stderr)
        sys.exit(126)
