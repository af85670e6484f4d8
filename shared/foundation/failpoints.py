"""Named places at which the fault tests stop a real process. Nothing is armed, and a call costs one
look, outside of tests.

`FENGPING_FAILPOINTS="relay.after_ack=kill@3,consumer.after_inbox=sleep:2@1"` arms
places of a process whose environment is `test`: at the n-th hit it is killed (SIGKILL), stopped
(SIGSTOP), sleeps that many seconds, raises as if a peer went away (`raise`), or fails as a bug of
ours would (`bug`). `@3+` does it at the third hit and at every later one.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Callable[[], None]


class FailpointError(ConnectionError):
    """Raised by an armed failpoint: looks like a peer that went away."""


@dataclass(slots=True)
class Failpoints:
    """`failpoint("relay.after_mark_published")` in the code; `armed` maps a place to what happens there."""

    armed: dict[str, Action] = field(default_factory=dict)

    def __call__(self, place: str) -> None:
        if self.armed and (action := self.armed.get(place)):
            action()

    def arm(self, plan: str) -> None:
        """Arm the places of a plan: `place=action@n`, comma-separated. Raises ValueError on a word
        it does not know.
        """
        for entry in filter(None, plan.split(",")):
            place, _, what = entry.partition("=")
            action, _, nth = what.partition("@")
            self.armed[place] = _OnNthHit(
                _action(action), int(nth.rstrip("+") or 1), always=nth.endswith("+")
            )


@dataclass(slots=True)
class _OnNthHit:
    """Does its action at the n-th call, and at no other unless `always`."""

    action: Action
    nth: int
    always: bool = False
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.nth or (self.always and self.calls > self.nth):
            self.action()


def _action(word: str) -> Action:
    name, _, argument = word.partition(":")
    if name in ("kill", "stop"):
        number = signal.SIGKILL if name == "kill" else signal.SIGSTOP
        return lambda: os.kill(os.getpid(), number)
    if name == "sleep":
        return lambda: time.sleep(float(argument))
    if name in ("raise", "bug"):
        return lambda: _raise(FailpointError if name == "raise" else RuntimeError)
    raise ValueError(f"a failpoint does kill, stop, raise, bug or sleep:SECONDS, not {word!r}")


def _raise(kind: type[Exception]) -> None:
    raise kind("failpoint")


failpoint = Failpoints()
