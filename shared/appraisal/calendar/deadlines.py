"""Time limits, due instants, and the status of a deadline at an instant."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

import msgspec

from shared.appraisal.calendar.working_days import (
    ONE_DAY,
    SHANGHAI,
    WEEKDAYS,
    DueDay,
    TimeUnit,
    WorkCalendar,
    civil_day,
    close_offset,
    closing,
    days_between,
    midnight,
)
from shared.appraisal.labels import LabelledEnum

UNIT_LABELS: Final[dict[TimeUnit, str]] = {"wd": "个工作日", "d": "日", "h": "小时"}
_LIMIT: Final = re.compile(r"(\d{1,4})\s*(wd|d|h)")


class TimeLimit(msgspec.Struct, frozen=True):
    """A time limit: `amount` of working days (wd), calendar days (d) or hours (h).

    `closes` is the time at which a limit in days ends on its last day: "17:30" (office hours) or
    "24:00". With `roll`, a limit in calendar days that ends on a rest day is extended to the next
    workday (民法典 art. 203).
    """

    amount: int
    unit: TimeUnit
    closes: str = "17:30"
    roll: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.amount <= 3650:
            raise ValueError(f"时限应在 1 至 3650 之间，现为 {self.amount}")
        close_offset(self.closes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `5wd`, `15d` or `24h`. Raises ValueError with a sentence."""
        match = _LIMIT.fullmatch(text.strip())
        if match is None:
            expected = "应为数字加 wd（工作日）、d（日）或 h（小时），例如 5wd"
            raise ValueError(f"时限“{text}”写法不对：{expected}")
        return cls(int(match[1]), match[2])  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def text(self) -> str:
        """The limit in official Chinese: 5 个工作日, 15 日, 24 小时."""
        return f"{self.amount} {self.unit_label}"

    @property
    def unit_label(self) -> str:
        """个工作日, 日 or 小时."""
        return UNIT_LABELS[self.unit]


class DueAt(msgspec.Struct, frozen=True):
    """When a limit ends: instant `at` (UTC) on civil day `day`, by calendar `calendar_version`."""

    at: datetime
    day: date
    provisional: bool
    calendar_version: str


class DeadlineTimes(DueAt, frozen=True):
    """A due instant, and the instants (UTC) from which it is 临期 and 严重超期."""

    warn_at: datetime
    severe_at: datetime


class Pause(msgspec.Struct, frozen=True):
    """A span (aware instants) during which the deadline does not run."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """The time that passes during the pause."""
        return self.until - self.since

    @property
    def days(self) -> Iterator[date]:
        """The civil days that do not count: all but the first."""
        first = civil_day(self.since)
        return days_between(first, civil_day(self.until))


def due_at(
    start: datetime,
    limit: TimeLimit,
    calendar: WorkCalendar,
    pauses: Sequence[Pause] = (),
) -> DueAt:
    """Return when a `limit` that begins at `start` (aware) ends.

    Limits in days do not count the day of `start`; limits in hours run at once and around the clock
    (民法典 art. 201). Paused days do not count: of a pause, the first day counts and the last does
    not.
    """
    if limit.unit == "h":
        end = start + timedelta(hours=limit.amount) + _paused_time(pauses)
        return DueAt(end.astimezone(UTC), civil_day(end), False, calendar.version)
    due = _last_day(civil_day(start), limit, calendar, _paused_days(pauses))
    return DueAt(closing(due.day, limit.closes), due.day, due.provisional, calendar.version)


def _paused_time(pauses: Sequence[Pause]) -> timedelta:
    return sum((pause.length for pause in pauses), timedelta())


def compute_deadline(
    start: datetime,
    limit: TimeLimit,
    calendar: WorkCalendar,
    pauses: Sequence[Pause] = (),
    *,
    extension: TimeLimit | None = None,
) -> DeadlineTimes:
    """Return the due, 临期 and 严重超期 instants (UTC) of a deadline starting at `start`.

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


def _extended(
    due: DueAt,
    extension: TimeLimit,
    calendar: WorkCalendar,
) -> DueAt:
    later = due_at(_last_moment(due), extension, calendar)
    provisional = due.provisional or later.provisional
    return DueAt(later.at, later.day, provisional, later.calendar_version)


def _last_moment(due: DueAt) -> datetime:
    # A limit that closes at 24:00 ends on the next civil date; one microsecond earlier is still
    # the due day.
    return due.at - timedelta(microseconds=1)


def warn_at(
    start: datetime,
    due: DueAt,
    limit: TimeLimit,
    calendar: WorkCalendar,
) -> datetime:
    """Return the instant (UTC) from which a deadline is 临期, never before `start`.

    A deadline in days is 临期 from midnight (Shanghai) of the first day that leaves at most one
    working day, or at most 20 % of its span; a deadline in hours when 20 % of its span is left.
    """
    if limit.unit == "h":
        return due.at - (due.at - start.astimezone(UTC)) / 5
    day = _first_warned_day(civil_day(start), due.day, calendar)
    return max(midnight(day), start).astimezone(UTC)


def _first_warned_day(
    start: date,
    due_day: date,
    calendar: WorkCalendar,
) -> date:
    span = calendar.working_days_between(start, due_day)
    threshold = max(1, span // 5)
    day = due_day
    left = int(calendar.is_workday(day))
    while left <= threshold and day > start:
        day -= ONE_DAY
        left += calendar.is_workday(day)
    return day


# ── status ────────────────────────────────────────────────────────────────────────────────────────


class DeadlineStatus(LabelledEnum):
    """The status of a deadline, most urgent first. The value is also the CSS class."""

    SEVERE = "severe", "严重超期"
    LATE = "late", "超期"
    WARNING = "warning", "临期"
    NORMAL = "normal", "正常"
    PAUSED = "paused", "暂停计时"
    CLOSED = "closed", "已办结"

    @property
    def symbol(self) -> str:
        """A shape that distinguishes the status without colour."""
        return _SYMBOLS[self]

    @property
    def rank(self) -> int:
        """Sort key: 0 is the most urgent."""
        return list(DeadlineStatus).index(self)


_SYMBOLS: Final = {
    DeadlineStatus.SEVERE: "■",
    DeadlineStatus.LATE: "■",
    DeadlineStatus.WARNING: "▲",
    DeadlineStatus.NORMAL: "●",
    DeadlineStatus.PAUSED: "❚❚",
    DeadlineStatus.CLOSED: "✓",
}


class DeadlineProgress(msgspec.Struct, frozen=True):
    """A deadline as pages show it, e.g. `▲ 临期 剩1工作日`.

    `left` counts the working days (or hours) that remain, `over` the full ones since it was due;
    the other one is 0. `text`: 剩4工作日, 今天17:30, 2工作日, 不足1工作日, （超期办结）.
    """

    status: DeadlineStatus
    left: int
    over: int
    text: str

    @property
    def badge(self) -> str:
        """Symbol, label and text in one line."""
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
    """Return the state at `now` of a deadline with the stored instants of `compute_deadline`.

    A deadline is past due when `due_at <= now`, as in the database.
    """
    if closed_at is not None:
        return closed_progress(late=closed_at >= due_at)
    if paused:
        return DeadlineProgress(DeadlineStatus.PAUSED, 0, 0, "")
    if now >= due_at:
        status = DeadlineStatus.SEVERE if now >= severe_at else DeadlineStatus.LATE
        return _late(status, now, due_at, calendar, unit)
    status = DeadlineStatus.WARNING if now >= warn_at else DeadlineStatus.NORMAL
    if unit == "h":
        return _hours_left(status, now, due_at)
    return _days_left(status, now, due_at, calendar)


def closed_progress(*, late: bool) -> DeadlineProgress:
    """Return the progress of a deadline whose work is done."""
    text = "（超期办结）" if late else ""
    return DeadlineProgress(DeadlineStatus.CLOSED, 0, 0, text)


def _hours_left(
    status: DeadlineStatus,
    now: datetime,
    due_at: datetime,
) -> DeadlineProgress:
    hours = _full_hours(due_at - now)
    text = f"剩{hours}小时" if hours else "不足1小时"
    return DeadlineProgress(status, hours, 0, text)


def _days_left(
    status: DeadlineStatus,
    now: datetime,
    due_at: datetime,
    calendar: WorkCalendar,
) -> DeadlineProgress:
    due_day = _due_day(due_at)
    today = civil_day(now)
    left = calendar.remaining(today, due_day)
    text = f"今天{_clock(due_at)}" if today == due_day else f"剩{left}工作日"
    return DeadlineProgress(status, left, 0, text)


def _late(
    status: DeadlineStatus,
    now: datetime,
    due_at: datetime,
    calendar: WorkCalendar,
    unit: TimeUnit,
) -> DeadlineProgress:
    if unit == "h":
        over = _full_hours(now - due_at)
        label = "小时"
    else:
        over = _full_days_over(now, due_at, calendar)
        label = "工作日"
    text = f"{over}{label}" if over else f"不足1{label}"
    return DeadlineProgress(status, 0, over, text)


def _full_hours(span: timedelta) -> int:
    return int(span / timedelta(hours=1))


def _full_days_over(
    now: datetime,
    due_at: datetime,
    calendar: WorkCalendar,
) -> int:
    due_day = _due_day(due_at)
    # A working day is over at its closing time, not at midnight.
    closing_time = due_at - midnight(due_day)
    return calendar.working_days_between(due_day, civil_day(now - closing_time))


def due_label(due_at: datetime, provisional: bool = False) -> str:
    """Return the due time as pages show it: `11-25 17:30 周三`, with （暂定） while provisional."""
    day = _due_day(due_at)
    mark = "（暂定）" if provisional else ""
    return f"{day:%m-%d} {_clock(due_at)} 周{WEEKDAYS[day.weekday()]}{mark}"


def due_for_units(due_at: datetime) -> datetime:
    """Return the due time as a unit may know it.

    A day's closing says nothing about the hour in which a matter arrived. A limit in hours would:
    it is cut to the full hour, so that the unit is never told a later time than the true one.
    """
    local = due_at.astimezone(SHANGHAI)
    closings = (closing(local.date()), midnight(local.date()))
    if due_at in closings:
        return due_at
    return local.replace(minute=0, second=0, microsecond=0)


def _due_day(due_at: datetime) -> date:
    # A deadline at 24:00 ends on the next civil date; one microsecond earlier is the due day.
    return civil_day(due_at - timedelta(microseconds=1))


def _clock(due_at: datetime) -> str:
    local = due_at.astimezone(SHANGHAI)
    return "24:00" if (local.hour, local.minute) == (0, 0) else f"{local:%H:%M}"


def _last_day(
    first: date,
    limit: TimeLimit,
    calendar: WorkCalendar,
    paused_days: frozenset[date],
) -> DueDay:
    """Return the last day of a limit in days; `paused_days` do not count."""
    if paused_days:
        return _last_day_with_pauses(first, limit, calendar, paused_days)
    if limit.unit == "wd":
        return calendar.add_working_days(first, limit.amount)
    return calendar.add_calendar_days(first, limit.amount, limit.roll)


def _last_day_with_pauses(
    first: date,
    limit: TimeLimit,
    calendar: WorkCalendar,
    paused_days: frozenset[date],
) -> DueDay:
    day = first
    left = limit.amount
    while left:
        day += ONE_DAY
        counts = limit.unit == "d" or calendar.is_workday(day)
        left -= counts and day not in paused_days
    if limit.unit == "d" and limit.roll:
        day = calendar.workday_on_or_after(day)
    return calendar.due_day(first, day)


def _paused_days(pauses: Sequence[Pause]) -> frozenset[date]:
    return frozenset(day for pause in pauses for day in pause.days)
