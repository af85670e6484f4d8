"""The working calendar (工作日历): which days are worked, and counting with them.

Civil dates are Asia/Shanghai, instants are aware UTC. Sources: 民法典 arts. 201, 203; the State
Council's yearly notices (data/china.yaml).

    calendar = china()
    compute_deadline(start, TimeLimit.parse("5wd"), calendar)   # due, 临期 and 严重超期 instants
    deadline_progress(now, ...)                                 # the status that pages show
    calendar.with_notice(read_notice(text))                     # the next version
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import msgspec

# China has had one zone without daylight saving time since 1991, before the first known calendar.
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
ONE_DAY = timedelta(days=1)
WEEKDAYS = "一二三四五六日"
SPAN_DAYS_MAX = 3660
"""Ten years: the bound of every count of days."""

TimeUnit = Literal["wd", "d", "h"]


class CalendarError(ValueError):
    """A notice or calendar is invalid. `rows` are (row, reason); row 0 is the whole file."""

    def __init__(self, rows: Sequence[tuple[int, str]]) -> None:
        self.rows = list(rows)
        sentences = (_sentence(row, reason) for row, reason in self.rows)
        super().__init__("；".join(sentences))


def _sentence(row: int, reason: str) -> str:
    return f"第 {row} 行：{reason}" if row else reason


class DueDay(msgspec.Struct, frozen=True):
    """A last day. It is `provisional` (暂定) if no published notice covers the whole span yet."""

    day: date
    provisional: bool


@dataclass(frozen=True, eq=False)
class WorkCalendar:
    """Which days are worked. Immutable; calendars with the same content have the same `version`.

    `days` holds the days that differ from Monday to Friday or belong to a holiday: True is worked
    (班), False is off (休); `names` holds their holidays. Answers outside `known_from` to
    `known_through` are provisional. `notices`: source by year.
    """

    days: Mapping[date, bool]
    known_from: date
    known_through: date
    names: Mapping[date, str] = field(default_factory=dict)
    notices: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("days", "names", "notices"):
            in_order = dict(sorted(getattr(self, name).items()))
            object.__setattr__(self, name, MappingProxyType(in_order))

    @cached_property
    def version(self) -> str:
        """Content-addressed name: `CN2026-1a2b3c4d`."""
        content = msgspec.json.encode(self._content())
        digest = hashlib.sha256(content).hexdigest()
        return f"CN{self.known_through.year}-{digest[:8]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkCalendar) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    def is_workday(self, day: date) -> bool:
        """Return whether the day is worked. Days without a notice are worked Monday to Friday."""
        return self.days.get(day, day.weekday() < 5)

    def is_known(self, day: date) -> bool:
        """Return whether a published notice covers the day; otherwise answers about it are 暂定."""
        return self.known_from <= day <= self.known_through

    def covers(self, first: date, last: date) -> bool:
        """Return whether notices cover every day of the span."""
        return self.is_known(first) and self.is_known(last)

    def days_ahead(self, now: datetime) -> int:
        """Return for how many days from `now` on notices decide."""
        return (self.known_through - civil_day(now)).days

    def due_day(self, start: date, day: date) -> DueDay:
        """Return `day` as the last one of a span from `start`, in either direction."""
        first, last = sorted((start, day))
        return DueDay(day, not self.covers(first, last))

    def add_working_days(self, start: date, amount: int) -> DueDay:
        """Return the `amount`-th working day after `start`; before it if `amount` is negative."""
        step = ONE_DAY if amount >= 0 else -ONE_DAY
        day = start
        left = abs(amount)
        while left:
            day += step
            left -= self.is_workday(day)
            assert abs((day - start).days) <= SPAN_DAYS_MAX * 2, "count of days is bounded"
        return self.due_day(start, day)

    def add_calendar_days(
        self,
        start: date,
        amount: int,
        roll: bool = True,
    ) -> DueDay:
        """Return the `amount`-th day after `start`; with `roll`, the first workday from there."""
        day = start + timedelta(days=amount)
        if roll:
            day = self.workday_on_or_after(day)
        return self.due_day(start, day)

    def workday_on_or_after(self, day: date) -> date:
        """Return the day itself if it is worked, otherwise the next worked day."""
        while not self.is_workday(day):
            day += ONE_DAY
        return day

    def working_days_between(self, first: date, last: date) -> int:
        """Count the working days after `first` through `last`; negative if `last` is earlier."""
        if last < first:
            return -self.working_days_between(last, first)
        return sum(self.is_workday(day) for day in days_between(first, last))

    def remaining(self, today: date, due_day: date) -> int:
        """Count the working days after today through the due day; negative after it."""
        return self.working_days_between(today, due_day)

    def with_notice(self, notice: "HolidayNotice") -> "WorkCalendar":
        """Return a calendar with the notice's year (and the three days before it) replaced."""
        self._check_next(notice)
        kept = {day: worked for day, worked in self.days.items() if not notice.decides(day)}
        names = {day: name for day, name in self.names.items() if day in kept}
        # Notices may move 29 to 31 December of the year before: a year is known through the 28th.
        through = max(self.known_through, date(notice.year, 12, 28))
        return WorkCalendar(
            days=kept | notice.days,
            known_from=self.known_from,
            known_through=through,
            names=names | notice.names,
            notices={**self.notices, notice.year: notice.source},
        )

    def _check_next(self, notice: "HolidayNotice") -> None:
        """Raise CalendarError if a year between the last known one and the notice is missing."""
        next_year = self.known_through.year + 1
        if notice.year > next_year:
            raise CalendarError([(0, f"应先导入 {next_year} 年的安排，再导入 {notice.year} 年")])

    def with_day(
        self,
        day: date,
        worked: bool,
        name: str,
    ) -> "WorkCalendar":
        """Return a calendar with one day changed by hand (a local day off, a correction)."""
        days = {**self.days, day: worked}
        names = {**self.names, day: name}
        return replace(self, days=days, names=names)

    def to_json(self) -> str:
        """Return the calendar as JSON; `from_json` returns an equal calendar."""
        return msgspec.json.encode(self._content()).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "WorkCalendar":
        """Return the calendar that `to_json` wrote. Raises msgspec.ValidationError."""
        return cls(**msgspec.structs.asdict(msgspec.json.decode(text, type=_CalendarContent)))

    def _content(self) -> "_CalendarContent":
        return _CalendarContent(
            dict(self.days),
            self.known_from,
            self.known_through,
            dict(self.names),
            dict(self.notices),
        )


# ── due instants ──────────────────────────────────────────────────────────────────────────────────


def civil_day(instant: datetime) -> date:
    """Return the date in Asia/Shanghai of an aware instant."""
    return instant.astimezone(SHANGHAI).date()


def closing(day: date, closes: str = "17:30") -> datetime:
    """Return the instant (UTC) at which `day` closes; "24:00" is the next midnight in Shanghai."""
    closes_at = midnight(day) + close_offset(closes)
    return closes_at.astimezone(UTC)


def midnight(day: date) -> datetime:
    """Return the instant at which `day` begins in Shanghai."""
    return datetime.combine(day, time(0), SHANGHAI)


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield the days after `first` through `last`."""
    span = (last - first).days
    return (first + timedelta(days=n) for n in range(1, span + 1))


def close_offset(closes: str) -> timedelta:
    """Return the time of day as an offset from midnight. Raises ValueError."""
    offset = _offset(closes)
    if not timedelta() < offset <= ONE_DAY:
        raise ValueError(f"截止时刻“{closes}”写法不对：应为 17:30 或 24:00 这样的时刻")
    return offset


def _offset(clock: str) -> timedelta:
    match = re.fullmatch(r"(\d{2}):(\d{2})", clock)
    if match is None:
        return timedelta()
    return timedelta(hours=int(match[1]), minutes=int(match[2]))


class _CalendarContent(msgspec.Struct, forbid_unknown_fields=True):
    days: dict[date, bool]
    known_from: date
    known_through: date
    names: dict[date, str]
    notices: dict[int, str]


# ── notices and versions ──────────────────────────────────────────────────────────────────────────


class HolidayNotice(msgspec.Struct, frozen=True):
    """年度放假安排: a year's days off and make-up workdays with their holidays, and the source."""

    year: int
    source: str
    rest: dict[date, str]
    work: dict[date, str]

    @property
    def days(self) -> dict[date, bool]:
        """Whether each listed day is worked."""
        return dict.fromkeys(self.rest, False) | dict.fromkeys(self.work, True)

    @property
    def names(self) -> dict[date, str]:
        """The holiday of each listed day."""
        return self.rest | self.work

    def decides(self, day: date) -> bool:
        """Return whether the day is in the year, or one of the last three before it."""
        return day.year == self.year or date(self.year - 1, 12, 29) <= day < date(self.year, 1, 1)
