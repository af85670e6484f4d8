"""Named places at which fault tests stop a real process. Outside of tests nothing is armed.

`FENGPING_FAILPOINTS="relay.after_ack=kill@3,consumer.after_inbox=sleep:2@1"` arms failpoints of a
process whose environment is `test`. At the n-th hit the process is killed (SIGKILL), stopped
(SIGSTOP), sleeps that many seconds, raises as if a peer disconnected (`raise`), or fails as by a
bug (`bug`). `@3+` means the third and every later hit.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Callable[[], None]


class FailpointError(ConnectionError):
    """Raised by an armed failpoint: looks like a peer that disconnected."""


@dataclass(slots=True)
class Failpoints:
    """`failpoint("relay.after_ack")` marks a place in the code; `armed` maps places to actions."""

    armed: dict[str, Action] = field(default_factory=dict)

    def __call__(self, place: str) -> None:
        if self.armed and (action := self.armed.get(place)):
            action()

    def arm(self, plan: str) -> None:
        """Arm the places of a plan: `place=action@n`, comma-separated. Raises ValueError."""
        for entry in filter(None, plan.split(",")):
            place, _, what = entry.partition("=")
            self.armed[place] = _on_nth_hit(what)


@dataclass(slots=True)
class _OnNthHit:
    """Performs its action at the n-th call; also at every later call if `always`."""

    action: Action
    nth: int
    always: bool = False
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.nth or (self.always and self.calls > self.nth):
            self.action()


def _on_nth_hit(what: str) -> _OnNthHit:
    word, _, nth = what.partition("@")
    number = int(nth.rstrip("+") or 1)
    return _OnNthHit(_action(word), number, always=nth.endswith("+"))


def _action(word: str) -> Action:
    name, _, argument = word.partition(":")
    if name in ("kill", "stop"):
        number = signal.SIGKILL if name == "kill" else signal.SIGSTOP
        return lambda: os.kill(os.getpid(), number)
    if name == "sleep":
        return lambda: time.sleep(float(argument))
    if name in ("raise", "bug"):
        return lambda: _raise(FailpointError if name == "raise" else RuntimeError)
    raise ValueError(
        f"unknown failpoint action {word!r}: use kill, stop, raise, bug or sleep:SECONDS"
    )


def _raise(kind: type[Exception]) -> None:
    raise kind("failpoint")


failpoint = Failpoints()
