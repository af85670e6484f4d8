"""办理进度: the stages of a complaint that its complainant sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from shared.appraisal.labels import LabelledEnum

StageState = Literal["done", "current", "pending", "refused"]
RATING_REASON_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class ProgressStage:
    """One stage, whether it is reached, and when."""

    label: str
    state: StageState
    at: datetime | None = None
    is_handling: bool = False


@dataclass(frozen=True, slots=True)
class Milestones:
    """When a complaint reached each stage; None for a stage not reached."""

    received_at: datetime
    opened_at: datetime | None = None
    assigned_at: datetime | None = None
    accepted_at: datetime | None = None
    closed_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def decided_at(self) -> datetime | None:
        """When the complaint was taken on: its case is open and was assigned or accepted."""
        return (self.assigned_at or self.accepted_at) if self.opened_at else None

    @property
    def handling(self) -> list[tuple[str, datetime | None]]:
        """The stages after receipt, in order, and when each was reached."""
        return [
            ("已受理", self.decided_at),
            ("已转办", self.assigned_at),
            ("办理中", self.accepted_at),
            ("办结", self.closed_at),
        ]


def progress_stages(milestones: Milestones) -> list[ProgressStage]:
    """Return 已收到 → 已受理 → 已转办 → 办理中 → 办结, or 已收到 → 不予受理."""
    received = ProgressStage("已收到", "done", milestones.received_at)
    if milestones.refused_at:
        return [received, ProgressStage("不予受理", "refused", milestones.refused_at)]
    return [received, *_handling_stages(milestones)]


def _handling_stages(milestones: Milestones) -> Iterator[ProgressStage]:
    stages = milestones.handling
    reached = [position for position, (_, at) in enumerate(stages) if at]
    last = max(reached, default=-1)
    for position, (label, at) in enumerate(stages):
        state = _state(position, last, closed=bool(milestones.closed_at))
        yield ProgressStage(label, state, at, is_handling=label == "办理中")


def _state(
    position: int,
    last: int,
    *,
    closed: bool,
) -> StageState:
    if position > last:
        return "pending"
    is_instant = position < 2  # Decision and assignment do not last; handling does.
    return "done" if position < last or closed or is_instant else "current"


class HandlingStatus(LabelledEnum):
    """How far casework has come with a complaint."""

    WAITING = "waiting", "待分派"
    ASSIGNED = "assigned", "已转办"
    HANDLING = "handling", "办理中"
    REFUSED = "refused", "不予受理"
    CLOSED = "closed", "已办结"

    @property
    def look(self) -> str:
        """The look of the status badge."""
        return _LOOKS[self]


_LOOKS: Final = {
    HandlingStatus.WAITING: "hold",
    HandlingStatus.ASSIGNED: "ok",
    HandlingStatus.HANDLING: "ok",
    HandlingStatus.REFUSED: "hold",
    HandlingStatus.CLOSED: "done",
}
