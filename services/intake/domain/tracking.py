"""办理进度 as a complainant sees it: five steps with days, and when each may be expected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

State = Literal["done", "now", "open", "refused"]
RATING_REASON_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is called, whether it is reached, when (or None)."""

    label: str
    state: State
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What casework told about a complaint so far. Instants are None while not reached."""

    opened_at: datetime | None = None
    assigned_at: datetime | None = None
    accepted_at: datetime | None = None
    closed_at: datetime | None = None
    refused_at: datetime | None = None


def steps(received_at: datetime, passage: Passage) -> list[Step]:
    """已收到 → 已受理 → 已转办 → 办理中 → 办结, or 已收到 → 不予受理."""
    first = Step("已收到", "done", received_at)
    if passage.refused_at:
        return [first, Step("不予受理", "refused", passage.refused_at)]
    reached = [
        ("已受理", passage.opened_at and (passage.assigned_at or passage.accepted_at)),
        ("已转办", passage.assigned_at),
        ("办理中", passage.accepted_at),
        ("办结", passage.closed_at),
    ]
    last = max((place for place, (_, at) in enumerate(reached) if at), default=-1)
    return [
        first,
        *(
            Step(label, _state(place, last, bool(passage.closed_at)), at)
            for place, (label, at) in enumerate(reached)
        ),
    ]


def _state(place: int, last: int, closed: bool) -> State:
    if place < last or (place == last and (closed or place < 2)):
        return "done"
    return "now" if place == last else "open"
