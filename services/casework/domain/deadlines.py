"""Deadlines: their kinds and states, how long they run, and how another calendar moves them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.calendar.deadlines import (
    DeadlineTimes,
    Pause,
    TimeLimit,
    compute_deadline,
)
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day
from shared.appraisal.labels import LabelledEnum
from shared.appraisal.schemes import CaseLimit


class DeadlineKind(LabelledEnum):
    """What has to be done in time: a stage of a case, or an obligation of a unit."""

    RELEASE = "release", "摘要审核"
    ASSIGN = "assign", "分办"
    ACCEPT = "accept", "签收"
    HANDLE = "handle", "办结"
    REVIEW = "review", "审核"
    SUPERVISE = "supervise", "督办"
    RECTIFY = "rectify", "整改"
    OBLIGATION = "obligation", "报送"


BINDING_UNITS: Final = (
    DeadlineKind.ACCEPT,
    DeadlineKind.HANDLE,
    DeadlineKind.REVIEW,
    DeadlineKind.SUPERVISE,
    DeadlineKind.RECTIFY,
)
"""Deadlines of a case that end when its unit loses it."""


class DeadlineState(StrEnum):
    """The stored state of a deadline.

    A `running` deadline is not yet due; a `lapsed` one is past due and still open; a `cancelled`
    one binds no one any more.
    """

    RUNNING = "running"
    LAPSED = "lapsed"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


ACTIVE_STATES: Final = (DeadlineState.RUNNING, DeadlineState.LAPSED, DeadlineState.PAUSED)
"""States of a deadline that still binds somebody."""


@dataclass(frozen=True, slots=True)
class DeadlineTerms:
    """How long a deadline runs: the rule's limit and what extensions added.

    Stored with the deadline, so that it can be computed again.
    """

    limit: TimeLimit
    extension: TimeLimit | None = None

    @classmethod
    def from_json(cls, text: str) -> "DeadlineTerms":
        """Decode stored terms."""
        return msgspec.json.decode(text, type=cls)

    def to_json(self) -> str:
        """Encode the terms for storage."""
        return msgspec.json.encode(self).decode()

    @property
    def text(self) -> str:
        """`5 个工作日`, or `5 个工作日，另延长 3 个工作日`."""
        if self.extension is None:
            return self.limit.text
        return f"{self.limit.text}，另延长 {self.extension.text}"

    def compute(
        self,
        start: datetime,
        calendar: WorkCalendar,
        pauses: Sequence[Pause] = (),
    ) -> DeadlineTimes:
        """Return the instants of a deadline that starts at `start`."""
        return compute_deadline(start, self.limit, calendar, pauses, extension=self.extension)


class DeadlineFields(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a new row of `deadlines`."""

    id: UUID
    case_id: UUID | None = None
    obligation_id: UUID | None = None
    unit_id: str | None
    kind: DeadlineKind
    starts_at: datetime
    terms: str
    due_at: datetime
    warn_at: datetime
    severe_at: datetime
    provisional: bool
    rule_id: str
    scheme_version: str
    calendar_version: str
    state: DeadlineState = DeadlineState.RUNNING
    next_warn_at: datetime | None
    later_warns: list[datetime] = []


def new_case_deadline(
    rule: CaseLimit,
    start: datetime,
    *,
    id: UUID,
    case_id: UUID,
    unit_id: str | None,
    scheme_version: str,
    calendar: WorkCalendar,
) -> DeadlineFields:
    """Return the running deadline of a case that starts under `rule` at `start`."""
    terms = DeadlineTerms(rule.limit)
    times = terms.compute(start, calendar)
    return DeadlineFields(
        id=id,
        case_id=case_id,
        unit_id=unit_id,
        kind=DeadlineKind(rule.stage),
        starts_at=start,
        terms=terms.to_json(),
        due_at=times.at,
        warn_at=times.warn_at,
        severe_at=times.severe_at,
        provisional=times.provisional,
        rule_id=rule.id,
        scheme_version=scheme_version,
        calendar_version=times.calendar_version,
        next_warn_at=times.warn_at,
    )


def working_days_taken(
    start: datetime,
    end: datetime,
    calendar: WorkCalendar,
) -> int:
    """Return the working days after the day of `start`, up to the day of `end`: 0 on one day."""
    return max(calendar.working_days_between(civil_day(start), civil_day(end)), 0)


# ── another calendar ──────────────────────────────────────────────────────────────────────────────


def changed_days(old: WorkCalendar, new: WorkCalendar) -> tuple[date, date] | None:
    """Return the first and last day on which two calendars differ; None if they agree.

    They differ on a day that only one of them counts as worked, and on days that only one of them
    knows for certain.
    """
    days = [
        day
        for day in old.days.keys() | new.days.keys()
        if old.is_workday(day) != new.is_workday(day)
    ]
    if old.known_through != new.known_through:
        first, last = sorted((old.known_through, new.known_through))
        days += [first + timedelta(days=1), last]
    return (min(days), max(days)) if days else None


@dataclass(frozen=True, slots=True)
class DeadlineShift:
    """A stored deadline and what another calendar makes of it."""

    before: datetime
    was_provisional: bool
    after: DeadlineTimes

    @property
    def moved(self) -> bool:
        """The due instant changes."""
        return self.before != self.after.at

    @property
    def shortened(self) -> bool:
        """Due earlier than announced: applied only if a person decides so (功能 4.3.8)."""
        return self.after.at < self.before

    @property
    def must_be_announced(self) -> bool:
        """The due instant changes, or is no longer provisional."""
        return self.moved or self.was_provisional != self.after.provisional
