"""A process that has imported everything and forks services from itself: a start costs milliseconds
instead of seconds of a processor.

Run as `python -m tests.faults.fork_server`. It reads one JSON line per wanted process on standard input
({"tag", "service", "env", "log"}) and says on standard output who began ({"tag", "pid"}) and who
ended ({"pid", "code"}; a signal is a negative code). It ends with its parent, and everything it
forked ends with it. What a child then runs is the same `serve` that `fengping serve NAME` runs.
"""

import ctypes
import gc
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LOOK_SECONDS = 0.02
START_SECONDS = 120.0


# ── the fork_server itself ────────────────────────────────────────────────────────────────────────────


def main() -> None:
    from services.cli.commands.serve import serve
    from shared.storage.schema import SERVICES

    for service in SERVICES:
        import_module(f"services.{service}.app")
    import_module("services.cli.up")
    gc.collect()
    gc.freeze()
    say(ready=True)
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], LOOK_SECONDS)
        if readable:
            chunk = os.read(0, 65_536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                bear(json.loads(line), serve)
        reap()


def say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def bear(order: dict[str, Any], serve: Any) -> None:
    """Fork; the parent says the child's id, the child becomes the service and never returns."""
    pid = os.fork()
    if pid:
        say(tag=order["tag"], pid=pid)
        return
    try:
        settle(order)
        if order["exec"]:
            os.execve(
                sys.executable,
                [sys.executable, "-m", "services.cli", "serve", order["service"]],
                order["env"],
            )
        serve(order["service"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = 1
    os._exit(code)


def settle(order: dict[str, Any]) -> None:
    """Own session, own log, own environment, own chance; dies with the fork_server."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing, log = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    )
    for here, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, number)
    os.environ.clear()
    os.environ.update(order["env"])
    random.seed()
    gc.unfreeze()


def reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        say(pid=pid, code=os.waitstatus_to_exitcode(status))


# ── the rig's side ─────────────────────────────────────────────────────────────────────────


class ForkServer:
    """A handle on a fork_server: `start` gives a process id, `code` says how it ended (None: it has
    not).
    """

    def __init__(self, root: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fork_server"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._tags = count(1)
        self._begun: dict[int, Future[int]] = {}
        self._codes: dict[int, int] = {}
        self.ready: Future[bool] = Future()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            message = json.loads(line)
            if "ready" in message:
                self.ready.set_result(True)
            elif "tag" in message:
                self._begun.pop(message["tag"]).set_result(message["pid"])
            else:
                self._codes[message["pid"]] = message["code"]

    def start(
        self, service: str, env: dict[str, str], log: Path, *, fresh_interpreter: bool = False
    ) -> int:
        """Fork a service; gives its process id. `anew`: it loads its program again, as an
        environment that changes libraries needs.
        """
        assert self._child.stdin
        tag, begun = next(self._tags), Future[int]()
        self._begun[tag] = begun
        self._child.stdin.write(
            json.dumps(
                {
                    "tag": tag,
                    "service": service,
                    "env": env,
                    "log": str(log),
                    "exec": fresh_interpreter,
                }
            ).encode()
            + b"\n"
        )
        self._child.stdin.flush()
        pid = begun.result(START_SECONDS)
        self._codes.pop(pid, None)
        return pid

    def code(self, pid: int) -> int | None:
        return self._codes.get(pid)

    def close(self) -> None:
        """End the fork_server and with it whatever it forked."""
        assert self._child.stdin
        self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


if __name__ == "__main__":
    main()
