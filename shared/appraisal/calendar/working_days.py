"""The working calendar (工作日历) and everything counted with it: due days and instants, warnings,
states.

Pure: the calendar is data with a version, `now` is an argument. Civil dates are Asia/Shanghai,
instants are aware UTC. Sources: 民法典 arts. 201, 203; the State Council's yearly notices
(calendar_data/china.yaml).

    calendar = china()
    compute_deadline(start, TimeLimit.parse("5wd"), calendar)   -> when it is due, when it warns, when it is severely late
    deadline_progress(now, ...)                        -> 正常 临期 超期 严重超期 暂停 已办结, as every page shows it
    calendar.with_notice(read_notice(text))         -> the next version; `affected_deadlines` says whose deadlines it moves
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from types import MappingProxyType
from typing import Literal

import msgspec

# China has kept one zone without summer time since 1991, before the first day any calendar here
# knows.
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
ONE_DAY = timedelta(days=1)
WEEKDAYS = "一二三四五六日"
SPAN_DAYS_MAX = 3660
"""Bound of every walk over days: ten years. A longer walk is a mistake of the caller."""

TimeUnit = Literal["wd", "d", "h"]


class CalendarError(ValueError):
    """A notice or calendar that cannot be used; `rows` says every row and reason: [(3, "10-12
    是星期一 …"), ...].
    """

    def __init__(self, rows: Sequence[tuple[int, str]]) -> None:
        self.rows = list(rows)
        super().__init__(
            "；".join(f"第 {row} 行：{reason}" if row else reason for row, reason in self.rows)
        )


class DueDay(msgspec.Struct, frozen=True):
    """A last day. `provisional` (暂定): the span touches days that no published notice covers yet."""

    day: date
    provisional: bool


@dataclass(frozen=True, eq=False)
class WorkCalendar:
    """Which days are worked. Immutable; two calendars with the same answers and names have the same
    `version`.

    `days`: the days that differ from Monday-to-Friday or carry a holiday's name: True worked (班),
    False off (休). `names`: the holiday each of them belongs to. `known_from`, `known_through`:
    outside, answers are provisional. `notices`: source by year.
    """

    days: Mapping[date, bool]
    known_from: date
    known_through: date
    names: Mapping[date, str] = field(default_factory=dict)
    notices: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("days", "names", "notices"):
            object.__setattr__(
                self, name, MappingProxyType(dict(sorted(getattr(self, name).items())))
            )
        content = msgspec.json.encode(self._content())
        object.__setattr__(
            self,
            "_version",
            f"CN{self.known_through.year}-{hashlib.sha256(content).hexdigest()[:8]}",
        )

    @property
    def version(self) -> str:
        """Content-addressed name: `CN2026-1a2b3c4d`."""
        version: str = self.__dict__["_version"]
        return version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkCalendar) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    def is_workday(self, day: date) -> bool:
        """Whether the day is worked, make-up days included. For a day nobody has ruled on yet:
        Monday to Friday.
        """
        return self.days.get(day, day.weekday() < 5)

    def is_known(self, day: date) -> bool:
        """Whether a published notice covers the day; otherwise every answer about it is 暂定."""
        return self.known_from <= day <= self.known_through

    def covers(self, first: date, last: date) -> bool:
        """Whether notices cover every day of the span."""
        return self.is_known(first) and self.is_known(last)

    def add_working_days(self, start: date, amount: int) -> DueDay:
        """The `amount`-th working day after `start`, itself not counted; before it when `amount` is
        negative.
        """
        step = ONE_DAY if amount >= 0 else -ONE_DAY
        day, left = start, abs(amount)
        while left:
            day += step
            left -= self.is_workday(day)
            assert abs((day - start).days) <= SPAN_DAYS_MAX * 2, (
                "a count of working days that never ends"
            )
        return DueDay(day, not self.covers(min(start, day), max(start, day)))

    def add_calendar_days(self, start: date, amount: int, roll: bool = True) -> DueDay:
        """The `amount`-th day after `start`; with `roll`, the first workday on or after it."""
        day = start + timedelta(days=amount)
        if roll:
            day = self.workday_on_or_after(day)
        return DueDay(day, not self.covers(min(start, day), max(start, day)))

    def workday_on_or_after(self, day: date) -> date:
        """The day itself when it is worked, otherwise the next worked day."""
        while not self.is_workday(day):
            day += ONE_DAY
        return day

    def working_days_between(self, first: date, last: date) -> int:
        """Working days after `first` up to and including `last`; negative when `last` lies before
        `first`.
        """
        if last < first:
            return -self.working_days_between(last, first)
        return sum(
            self.is_workday(first + timedelta(days=n)) for n in range(1, (last - first).days + 1)
        )

    def remaining(self, today: date, due_day: date) -> int:
        """Working days still to come: today is not counted, the due day is. Negative after the due
        day.
        """
        return self.working_days_between(today, due_day)

    def with_notice(self, notice: "HolidayNotice") -> "WorkCalendar":
        """The next version, with the notice's year (and the last three days before it) replaced
        whole.
        """
        kept = {
            day: worked
            for day, worked in self.days.items()
            if day.year != notice.year and not _at_turn_of_year(notice, day)
        }
        names = {day: name for day, name in self.names.items() if day in kept}
        days = kept | dict.fromkeys(notice.rest, False) | dict.fromkeys(notice.work, True)
        # Several notices moved 29 to 31 December of the year before: each year is certain only
        # through the 28th.
        through = max(self.known_through, date(notice.year, 12, 28))
        if notice.year > self.known_through.year + 1:
            raise CalendarError(
                [(0, f"应先导入 {self.known_through.year + 1} 年的安排，再导入 {notice.year} 年")]
            )
        notices = {**self.notices, notice.year: notice.source}
        return WorkCalendar(
            days, self.known_from, through, names | notice.rest | notice.work, notices
        )

    def with_day(self, day: date, worked: bool, name: str) -> "WorkCalendar":
        """The next version, with one day decided by hand (an extra day off by local order, a
        correction).
        """
        return WorkCalendar(
            {**self.days, day: worked},
            self.known_from,
            self.known_through,
            {**self.names, day: name},
            self.notices,
        )

    def to_json(self) -> str:
        """The whole calendar as text for a table or an event; `from_json` gives an equal calendar."""
        return msgspec.json.encode(self._content()).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "WorkCalendar":
        """The calendar that `to_json` wrote. Raises msgspec.ValidationError on anything else."""
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
    """The date in Asia/Shanghai of an aware instant."""
    return instant.astimezone(SHANGHAI).date()


def closing(day: date, closes: str = "17:30") -> datetime:
    """The instant (UTC) at which `day` ends for deadlines; "24:00" is the next midnight in
    Shanghai.
    """
    return (datetime.combine(day, time(0), SHANGHAI) + _close_offset(closes)).astimezone(UTC)


def _close_offset(closes: str) -> timedelta:
    match = re.fullmatch(r"(\d{2}):(\d{2})", closes)
    if (
        match is None
        or not timedelta()
        < (offset := timedelta(hours=int(match[1]), minutes=int(match[2])))
        <= ONE_DAY
    ):
        raise ValueError(f"截止时刻“{closes}”写法不对：应为 17:30 或 24:00 这样的时刻")
    return offset


class _CalendarContent(msgspec.Struct, forbid_unknown_fields=True):
    days: dict[date, bool]
    known_from: date
    known_through: date
    names: dict[date, str]
    notices: dict[int, str]


# ── notices and versions ──────────────────────────────────────────────────────────────────────────


class HolidayNotice(msgspec.Struct, frozen=True):
    """One year's arrangement (年度放假安排): days off and make-up workdays, each with its holiday,
    and the source.
    """

    year: int
    source: str
    rest: dict[date, str]
    work: dict[date, str]


def _at_turn_of_year(notice: HolidayNotice, day: date) -> bool:
    """The days at the turn of the year, which only the coming year's notice has ever ruled on."""
    return date(notice.year - 1, 12, 29) <= day < date(notice.year, 1, 1)
