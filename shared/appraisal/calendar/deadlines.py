"""Deadlines: time limits, due instants, and how a deadline stands at an instant."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Self

import msgspec

from shared.appraisal.calendar.working_days import (
    ONE_DAY,
    SHANGHAI,
    WEEKDAYS,
    DueDay,
    TimeUnit,
    WorkCalendar,
    _close_offset,
    civil_day,
    closing,
)


class TimeLimit(msgspec.Struct, frozen=True):
    """A time limit: `amount` of working days (wd), calendar days (d) or hours (h).

    `closes`: the clock time at which a limit in days ends on its last day: office hours "17:30", or
    "24:00". `roll`: a limit in calendar days that ends on a rest day ends on the next workday
    instead (民法典 art. 203).
    """

    amount: int
    unit: TimeUnit
    closes: str = "17:30"
    roll: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.amount <= 3650:
            raise ValueError(f"时限应在 1 至 3650 之间，现为 {self.amount}")
        _close_offset(self.closes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`5wd`, `15d`, `24h`; anything else raises ValueError with a sentence."""
        match = re.fullmatch(r"\s*(\d{1,4})\s*(wd|d|h)\s*", text)
        if match is None:
            raise ValueError(
                f"时限“{text}”写法不对：应为数字加 wd（工作日）、d（日）或 h（小时），例如 5wd"
            )
        return cls(int(match[1]), match[2])  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def text(self) -> str:
        """In official Chinese: 5 个工作日, 15 日, 24 小时."""
        return f"{self.amount} {({'wd': '个工作日', 'd': '日', 'h': '小时'})[self.unit]}"


class DueAt(msgspec.Struct, frozen=True):
    """When a limit ends: at instant `at` (UTC), on civil day `day`, by calendar `calendar_version`."""

    at: datetime
    day: date
    provisional: bool
    calendar_version: str


class DeadlineTimes(DueAt, frozen=True):
    """A due instant and the two that change its state (UTC): 临期 from `warn_at`, 严重超期 from
    `severe_at`.
    """

    warn_at: datetime
    severe_at: datetime


class Pause(msgspec.Struct, frozen=True):
    """The clock stood still from `since` until `until` (aware instants)."""

    since: datetime
    until: datetime


def due_at(
    start: datetime, limit: TimeLimit, calendar: WorkCalendar, pauses: Sequence[Pause] = ()
) -> DueAt:
    """When `limit` ends that began at `start` (aware). The day of `start` does not count (民法典
    art. 201).

    Hours run at once and around the clock (same article). Days on which the clock was paused do not
    count: the day of stopping still does, the day of resuming does not.
    """
    if limit.unit == "h":
        end = (
            start
            + timedelta(hours=limit.amount)
            + sum((pause.until - pause.since for pause in pauses), timedelta())
        )
        return DueAt(end.astimezone(UTC), civil_day(end), False, calendar.version)
    first = civil_day(start)
    paused_days = _paused_days(pauses)
    due = _last_day(first, limit, calendar, paused_days)
    return DueAt(closing(due.day, limit.closes), due.day, due.provisional, calendar.version)


def compute_deadline(
    start: datetime,
    limit: TimeLimit,
    calendar: WorkCalendar,
    pauses: Sequence[Pause] = (),
    *,
    extension: TimeLimit | None = None,
) -> DeadlineTimes:
    """Return the due, 临期 and 严重超期 instants (UTC) of a deadline that starts at `start` (aware).

    `pauses` are excluded as in `due_at`. An `extension` starts where `limit` ends, so 5 working
    days extended by 3 end on the eighth. 严重超期 begins one more `limit` after the due instant.
    Every deadline of a case is computed here and stored with all three instants.
    """
    due = due_at(start, limit, calendar, pauses)
    if extension is not None:
        due = _extended(due, extension, calendar)
    severe = due_at(_last_moment(due), limit, calendar)
    warn = warn_at(start, due, limit, calendar)
    return DeadlineTimes(due.at, due.day, due.provisional, due.calendar_version, warn, severe.at)


def _extended(due: DueAt, extension: TimeLimit, calendar: WorkCalendar) -> DueAt:
    later = due_at(_last_moment(due), extension, calendar)
    provisional = due.provisional or later.provisional
    return DueAt(later.at, later.day, provisional, later.calendar_version)


def _last_moment(due: DueAt) -> datetime:
    # A limit that closes at 24:00 ends on the next civil date; one microsecond earlier is still
    # the due day.
    return due.at - timedelta(microseconds=1)


def warn_at(start: datetime, due: DueAt, limit: TimeLimit, calendar: WorkCalendar) -> datetime:
    """The instant (UTC) from which the deadline is 临期: at most 1 working day or at most 20 % of
    its span is left.

    Limits in days: from the first midnight (Shanghai) of a day that leaves so few working days.
    Limits in hours have no working days, so only the 20 % hold for them. Never before `start`.
    """
    if limit.unit == "h":
        return due.at - (due.at - start.astimezone(UTC)) / 5
    threshold = max(1, calendar.working_days_between(civil_day(start), due.day) // 5)
    day, left = due.day, int(calendar.is_workday(due.day))
    while left <= threshold and day > civil_day(start):
        day -= ONE_DAY
        left += calendar.is_workday(day)
    return max(datetime.combine(day, time(0), SHANGHAI).astimezone(UTC), start.astimezone(UTC))


# ── the state of a deadline, one answer for every page ────────────────────────────────────────────


class DeadlineStatus(StrEnum):
    """How a deadline stands. The value is its name on the wire and its CSS class; in order of
    urgency.
    """

    SEVERE = "severe"
    LATE = "late"
    WARNING = "warning"
    NORMAL = "normal"
    PAUSED = "paused"
    CLOSED = "closed"

    @property
    def label(self) -> str:
        """正常, 临期, 超期, 严重超期, 暂停计时, 已办结."""
        return _BADGES[self][1]

    @property
    def symbol(self) -> str:
        """The shape before the word, so that nobody needs to see colour."""
        return _BADGES[self][0]

    @property
    def rank(self) -> int:
        """Sort key: 0 is the most urgent."""
        return list(DeadlineStatus).index(self)


_BADGES = {
    DeadlineStatus.SEVERE: ("■", "严重超期"),
    DeadlineStatus.LATE: ("■", "超期"),
    DeadlineStatus.WARNING: ("▲", "临期"),
    DeadlineStatus.NORMAL: ("●", "正常"),
    DeadlineStatus.PAUSED: ("❚❚", "暂停计时"),
    DeadlineStatus.CLOSED: ("✓", "已办结"),
}


class DeadlineProgress(msgspec.Struct, frozen=True):
    """A deadline as pages show it: badge `symbol label text`, e.g. `▲ 临期 剩1工作日`.

    `left`: working days (hours for a limit in hours) still to come, `over`: full ones gone since it
    was due; the one that does not apply is 0. `text`: 剩4工作日, 今天17:30, 2工作日, 不足1工作日,
    （超期办结）.
    """

    status: DeadlineStatus
    left: int
    over: int
    text: str

    @property
    def badge(self) -> str:
        """The whole badge in one line of text."""
        gap = "" if self.status is DeadlineStatus.CLOSED or not self.text else " "
        return f"{self.status.symbol} {self.status.label}{gap}{self.text}"

    @property
    def is_late(self) -> bool:
        """Past due and still open."""
        return self.status in (DeadlineStatus.LATE, DeadlineStatus.SEVERE)


def deadline_progress(
    now: datetime,
    *,
    due_at: datetime,
    warn_at: datetime,
    severe_at: datetime,
    calendar: WorkCalendar,
    unit: TimeUnit = "wd",
    paused: bool = False,
    closed_at: datetime | None = None,
) -> DeadlineProgress:
    """The state at `now` of a deadline with the three stored instants of `compute_deadline`; the only
    place that decides it.

    Past due is `due_at <= now`, as in the database. `over` counts full days, so that 严重超期 and
    the number agree.
    """
    if closed_at is not None:
        return DeadlineProgress(
            DeadlineStatus.CLOSED, 0, 0, "（超期办结）" if closed_at >= due_at else ""
        )
    if paused:
        return DeadlineProgress(DeadlineStatus.PAUSED, 0, 0, "")
    if now >= due_at:
        return _late(now, due_at, severe_at, calendar, unit)
    status = DeadlineStatus.WARNING if now >= warn_at else DeadlineStatus.NORMAL
    if unit == "h":
        hours = int((due_at - now) / timedelta(hours=1))
        return DeadlineProgress(status, hours, 0, f"剩{hours}小时" if hours else "不足1小时")
    due_day, today = civil_day(due_at - timedelta(microseconds=1)), civil_day(now)
    left = calendar.remaining(today, due_day)
    return DeadlineProgress(
        status, left, 0, f"今天{_clock(due_at)}" if today == due_day else f"剩{left}工作日"
    )


def _late(
    now: datetime, due_at: datetime, severe_at: datetime, calendar: WorkCalendar, unit: TimeUnit
) -> DeadlineProgress:
    status = DeadlineStatus.SEVERE if now >= severe_at else DeadlineStatus.LATE
    if unit == "h":
        over, word = int((now - due_at) / timedelta(hours=1)), "小时"
    else:
        due_day = civil_day(due_at - timedelta(microseconds=1))
        # A working day is over when its own closing time has come, so the closing time is taken off
        # the clock first.
        last_full = civil_day(now - (due_at - datetime.combine(due_day, time(0), SHANGHAI)))
        over, word = calendar.working_days_between(due_day, last_full), "工作日"
    return DeadlineProgress(status, 0, over, f"{over}{word}" if over else f"不足1{word}")


def due_label(due_at: datetime, provisional: bool = False) -> str:
    """The absolute time that stands beside every badge: `11-25 17:30 周三`, with （暂定） while
    provisional.
    """
    day = civil_day(due_at - timedelta(microseconds=1))
    return f"{day:%m-%d} {_clock(due_at)} 周{WEEKDAYS[day.weekday()]}{'（暂定）' if provisional else ''}"


def _clock(due_at: datetime) -> str:
    local = due_at.astimezone(SHANGHAI)
    return "24:00" if (local.hour, local.minute) == (0, 0) else f"{local:%H:%M}"


def _last_day(
    first: date, limit: TimeLimit, calendar: WorkCalendar, paused_days: frozenset[date]
) -> DueDay:
    """The last day of a limit in days, days in `paused_days` not counted."""
    if not paused_days:
        if limit.unit == "wd":
            return calendar.add_working_days(first, limit.amount)
        return calendar.add_calendar_days(first, limit.amount, limit.roll)
    day, left = first, limit.amount
    while left:
        day += ONE_DAY
        left -= day not in paused_days and (limit.unit == "d" or calendar.is_workday(day))
    if limit.unit == "d" and limit.roll:
        day = calendar.workday_on_or_after(day)
    return DueDay(day, not calendar.covers(first, day))


def _paused_days(pauses: Sequence[Pause]) -> frozenset[date]:
    return frozenset(
        civil_day(pause.since) + timedelta(days=n)
        for pause in pauses
        for n in range(1, (civil_day(pause.until) - civil_day(pause.since)).days + 1)
    )


class OpenDeadline(msgspec.Struct, frozen=True):
    """An open deadline as `affected_deadlines` needs it: who (`id`), from when, how long, and its pauses."""

    id: str
    start: datetime
    limit: TimeLimit
    pauses: tuple[Pause, ...] = ()


class AffectedDeadline(msgspec.Struct, frozen=True):
    """A deadline that two calendars put differently."""

    id: str
    before: DeadlineTimes
    after: DeadlineTimes

    @property
    def moved(self) -> bool:
        """The due instant itself changes, not only its warning or its 暂定 mark."""
        return self.before.at != self.after.at

    @property
    def shortened(self) -> bool:
        """Due earlier than announced: to be applied only by a person's decision."""
        return self.after.at < self.before.at


def affected_deadlines(
    old: WorkCalendar, new: WorkCalendar, spans: Iterable[OpenDeadline]
) -> list[AffectedDeadline]:
    """The deadlines whose stored instants or 暂定 mark differ between two calendars, in the order
    given.
    """
    found = []
    for span in spans:
        before = compute_deadline(span.start, span.limit, old, span.pauses)
        after = compute_deadline(span.start, span.limit, new, span.pauses)
        if msgspec.structs.replace(before, calendar_version=new.version) != after:
            found.append(AffectedDeadline(span.id, before, after))
    return found
