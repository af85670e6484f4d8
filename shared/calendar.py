"""The working calendar (工作日历) and everything counted with it: due days and instants, warnings,
states.

Pure: the calendar is data with a version, `now` is an argument. Civil dates are Asia/Shanghai,
instants are aware UTC. Sources: 民法典 arts. 201, 203; the State Council's yearly notices
(calendar_data/china.yaml).

    calendar = china()
    deadline(start, Limit.parse("5wd"), calendar)   -> when it is due, when it warns, when it is severely late
    deadline_state(now, ...)                        -> 正常 临期 超期 严重超期 暂停 已办结, as every page shows it
    calendar.with_notice(read_notice(text))         -> the next version; `affected` says whose deadlines it moves
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import msgspec
import yaml

# China has kept one zone without summer time since 1991, before the first day any calendar here
# knows.
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
ONE_DAY = timedelta(days=1)
WEEKDAYS = "一二三四五六日"
SPAN_DAYS_MAX = 3660
"""Bound of every walk over days: ten years. A longer walk is a mistake of the caller."""

Unit = Literal["wd", "d", "h"]


class CalendarError(ValueError):
    """A notice or calendar that cannot be used; `rows` says every row and reason: [(3, "10-12
    是星期一 …"), ...].
    """

    def __init__(self, rows: Sequence[tuple[int, str]]) -> None:
        self.rows = list(rows)
        super().__init__(
            "；".join(f"第 {row} 行：{reason}" if row else reason for row, reason in self.rows)
        )


class Limit(msgspec.Struct, frozen=True):
    """A time limit: `amount` of working days (wd), calendar days (d) or hours (h).

    `closes`: the clock time at which a limit in days ends on its last day: office hours "17:30", or
    "24:00". `roll`: a limit in calendar days that ends on a rest day ends on the next workday
    instead (民法典 art. 203).
    """

    amount: int
    unit: Unit
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


class Due(msgspec.Struct, frozen=True):
    """A last day. `provisional` (暂定): the span touches days that no published notice covers yet."""

    day: date
    provisional: bool


class Pause(msgspec.Struct, frozen=True):
    """The clock stood still from `since` until `until` (aware instants)."""

    since: datetime
    until: datetime


class DueAt(msgspec.Struct, frozen=True):
    """When a limit ends: at instant `at` (UTC), on civil day `day`, by calendar `calendar_version`."""

    at: datetime
    day: date
    provisional: bool
    calendar_version: str


class Deadline(DueAt, frozen=True):
    """A due instant and the two that change its state (UTC): 临期 from `warn_at`, 严重超期 from
    `severe_at`.
    """

    warn_at: datetime
    severe_at: datetime


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
        content = msgspec.json.encode(self._facts())
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

    def add_working_days(self, start: date, amount: int) -> Due:
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
        return Due(day, not self.covers(min(start, day), max(start, day)))

    def add_calendar_days(self, start: date, amount: int, roll: bool = True) -> Due:
        """The `amount`-th day after `start`; with `roll`, the first workday on or after it."""
        day = start + timedelta(days=amount)
        if roll:
            day = self.workday_on_or_after(day)
        return Due(day, not self.covers(min(start, day), max(start, day)))

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

    def with_notice(self, notice: "Notice") -> "WorkCalendar":
        """The next version, with the notice's year (and the last three days before it) replaced
        whole.
        """
        kept = {
            day: worked
            for day, worked in self.days.items()
            if day.year != notice.year and not _turn(notice, day)
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
        return msgspec.json.encode(self._facts()).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "WorkCalendar":
        """The calendar that `to_json` wrote. Raises msgspec.ValidationError on anything else."""
        return cls(**msgspec.structs.asdict(msgspec.json.decode(text, type=_Facts)))

    def _facts(self) -> "_Facts":
        return _Facts(
            dict(self.days),
            self.known_from,
            self.known_through,
            dict(self.names),
            dict(self.notices),
        )


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    days: dict[date, bool]
    known_from: date
    known_through: date
    names: dict[date, str]
    notices: dict[int, str]


# ── due instants ──────────────────────────────────────────────────────────────────────────────────


def civil_day(instant: datetime) -> date:
    """The date in Asia/Shanghai of an aware instant."""
    return instant.astimezone(SHANGHAI).date()


def closing(day: date, closes: str = "17:30") -> datetime:
    """The instant (UTC) at which `day` ends for deadlines; "24:00" is the next midnight in
    Shanghai.
    """
    return (datetime.combine(day, time(0), SHANGHAI) + _close_offset(closes)).astimezone(UTC)


def due_at(
    start: datetime, limit: Limit, calendar: WorkCalendar, pauses: Sequence[Pause] = ()
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
    idle = _idle_days(pauses)
    due = _last_day(first, limit, calendar, idle)
    return DueAt(closing(due.day, limit.closes), due.day, due.provisional, calendar.version)


def deadline(
    start: datetime, limit: Limit, calendar: WorkCalendar, pauses: Sequence[Pause] = ()
) -> Deadline:
    """All three instants of a deadline, to be stored with it: due, 临期 and 严重超期."""
    due = due_at(start, limit, calendar, pauses)
    warn = warn_at(start, due, limit, calendar)
    severe = due_at(due.at - timedelta(microseconds=1), limit, calendar)
    return Deadline(due.at, due.day, due.provisional, due.calendar_version, warn, severe.at)


def warn_at(start: datetime, due: DueAt, limit: Limit, calendar: WorkCalendar) -> datetime:
    """The instant (UTC) from which the deadline is 临期: at most 1 working day or at most 20 % of
    its span is left.

    Limits in days: from the first midnight (Shanghai) of a day that leaves so few working days.
    Limits in hours have no working days, so only the 20 % hold for them. Never before `start`.
    """
    if limit.unit == "h":
        return due.at - (due.at - start.astimezone(UTC)) / 5
    few = max(1, calendar.working_days_between(civil_day(start), due.day) // 5)
    day, left = due.day, int(calendar.is_workday(due.day))
    while left <= few and day > civil_day(start):
        day -= ONE_DAY
        left += calendar.is_workday(day)
    return max(datetime.combine(day, time(0), SHANGHAI).astimezone(UTC), start.astimezone(UTC))


def _last_day(first: date, limit: Limit, calendar: WorkCalendar, idle: frozenset[date]) -> Due:
    """The last day of a limit in days, days in `idle` not counted."""
    if not idle:
        if limit.unit == "wd":
            return calendar.add_working_days(first, limit.amount)
        return calendar.add_calendar_days(first, limit.amount, limit.roll)
    day, left = first, limit.amount
    while left:
        day += ONE_DAY
        left -= day not in idle and (limit.unit == "d" or calendar.is_workday(day))
    if limit.unit == "d" and limit.roll:
        day = calendar.workday_on_or_after(day)
    return Due(day, not calendar.covers(first, day))


def _idle_days(pauses: Sequence[Pause]) -> frozenset[date]:
    return frozenset(
        civil_day(pause.since) + timedelta(days=n)
        for pause in pauses
        for n in range(1, (civil_day(pause.until) - civil_day(pause.since)).days + 1)
    )


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


# ── the state of a deadline, one answer for every page ────────────────────────────────────────────


class Standing(StrEnum):
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
        return list(Standing).index(self)


_BADGES = {
    Standing.SEVERE: ("■", "严重超期"),
    Standing.LATE: ("■", "超期"),
    Standing.WARNING: ("▲", "临期"),
    Standing.NORMAL: ("●", "正常"),
    Standing.PAUSED: ("❚❚", "暂停计时"),
    Standing.CLOSED: ("✓", "已办结"),
}


class DeadlineState(msgspec.Struct, frozen=True):
    """A deadline as pages show it: badge `symbol label text`, e.g. `▲ 临期 剩1工作日`.

    `left`: working days (hours for a limit in hours) still to come, `over`: full ones gone since it
    was due; the one that does not apply is 0. `text`: 剩4工作日, 今天17:30, 2工作日, 不足1工作日,
    （超期办结）.
    """

    standing: Standing
    left: int
    over: int
    text: str

    @property
    def badge(self) -> str:
        """The whole badge in one line of text."""
        gap = "" if self.standing is Standing.CLOSED or not self.text else " "
        return f"{self.standing.symbol} {self.standing.label}{gap}{self.text}"

    @property
    def is_late(self) -> bool:
        """Past due and still open."""
        return self.standing in (Standing.LATE, Standing.SEVERE)


def deadline_state(
    now: datetime,
    *,
    due_at: datetime,
    warn_at: datetime,
    severe_at: datetime,
    calendar: WorkCalendar,
    unit: Unit = "wd",
    paused: bool = False,
    closed_at: datetime | None = None,
) -> DeadlineState:
    """The state at `now` of a deadline with the three stored instants of `deadline()`; the only
    place that decides it.

    Past due is `due_at <= now`, as in the database. `over` counts full days, so that 严重超期 and
    the number agree.
    """
    if closed_at is not None:
        return DeadlineState(Standing.CLOSED, 0, 0, "（超期办结）" if closed_at >= due_at else "")
    if paused:
        return DeadlineState(Standing.PAUSED, 0, 0, "")
    if now >= due_at:
        return _late(now, due_at, severe_at, calendar, unit)
    standing = Standing.WARNING if now >= warn_at else Standing.NORMAL
    if unit == "h":
        hours = int((due_at - now) / timedelta(hours=1))
        return DeadlineState(standing, hours, 0, f"剩{hours}小时" if hours else "不足1小时")
    due_day, today = civil_day(due_at - timedelta(microseconds=1)), civil_day(now)
    left = calendar.remaining(today, due_day)
    return DeadlineState(
        standing, left, 0, f"今天{_clock(due_at)}" if today == due_day else f"剩{left}工作日"
    )


def _late(
    now: datetime, due_at: datetime, severe_at: datetime, calendar: WorkCalendar, unit: Unit
) -> DeadlineState:
    standing = Standing.SEVERE if now >= severe_at else Standing.LATE
    if unit == "h":
        over, word = int((now - due_at) / timedelta(hours=1)), "小时"
    else:
        due_day = civil_day(due_at - timedelta(microseconds=1))
        # A working day is over when its own closing time has come, so the closing time is taken off
        # the clock first.
        last_full = civil_day(now - (due_at - datetime.combine(due_day, time(0), SHANGHAI)))
        over, word = calendar.working_days_between(due_day, last_full), "工作日"
    return DeadlineState(standing, 0, over, f"{over}{word}" if over else f"不足1{word}")


def due_label(due_at: datetime, provisional: bool = False) -> str:
    """The absolute time that stands beside every badge: `11-25 17:30 周三`, with （暂定） while
    provisional.
    """
    day = civil_day(due_at - timedelta(microseconds=1))
    return f"{day:%m-%d} {_clock(due_at)} 周{WEEKDAYS[day.weekday()]}{'（暂定）' if provisional else ''}"


def _clock(due_at: datetime) -> str:
    local = due_at.astimezone(SHANGHAI)
    return "24:00" if (local.hour, local.minute) == (0, 0) else f"{local:%H:%M}"


# ── notices and versions ──────────────────────────────────────────────────────────────────────────


class Notice(msgspec.Struct, frozen=True):
    """One year's arrangement (年度放假安排): days off and make-up workdays, each with its holiday,
    and the source.
    """

    year: int
    source: str
    rest: dict[date, str]
    work: dict[date, str]


class Span(msgspec.Struct, frozen=True):
    """An open deadline as `affected` needs it: who (`id`), from when, how long, and its pauses."""

    id: str
    start: datetime
    limit: Limit
    pauses: tuple[Pause, ...] = ()


class Affected(msgspec.Struct, frozen=True):
    """A deadline that two calendars put differently."""

    id: str
    before: Deadline
    after: Deadline

    @property
    def moved(self) -> bool:
        """The due instant itself changes, not only its warning or its 暂定 mark."""
        return self.before.at != self.after.at

    @property
    def shortened(self) -> bool:
        """Due earlier than announced: to be applied only by a person's decision."""
        return self.after.at < self.before.at


def affected(old: WorkCalendar, new: WorkCalendar, spans: Iterable[Span]) -> list[Affected]:
    """The deadlines whose stored instants or 暂定 mark differ between two calendars, in the order
    given.
    """
    found = []
    for span in spans:
        before = deadline(span.start, span.limit, old, span.pauses)
        after = deadline(span.start, span.limit, new, span.pauses)
        if msgspec.structs.replace(before, calendar_version=new.version) != after:
            found.append(Affected(span.id, before, after))
    return found


@cache
def china() -> WorkCalendar:
    """The calendar shipped with the product: 2004 to the last notice known when it was built."""
    return read_calendar(
        Path(__file__).with_name("calendar_data").joinpath("china.yaml").read_text(encoding="utf-8")
    )


def read_calendar(text: str) -> WorkCalendar:
    """A calendar from the text of a file like calendar_data/china.yaml. Raises CalendarError."""
    content = _yaml_mapping(text)
    days: dict[date, bool] = {}
    names: dict[date, str] = {}
    notices: dict[int, str] = {}
    for year, entry in content["years"].items():
        notice = _notice_of_mapping(year, entry)
        days |= dict.fromkeys(notice.rest, False) | dict.fromkeys(notice.work, True)
        names |= notice.rest | notice.work
        notices[year] = notice.source
    return WorkCalendar(days, content["known_from"], content["known_through"], names, notices)


def read_notice(text: str) -> Notice:
    """A yearly arrangement from YAML or CSV, told apart by the first line. Raises CalendarError:
    rows, reasons.

    YAML, as in calendar_data/china.yaml: `2027: {notice: …, rest: {元旦: [01-01/01-03]}, work:
    [01-04]}` CSV: a comment line `# source`, then a header `日期,类型,节日`, then rows
    `2027-01-01,休,元旦`, type 休 or 班.
    """
    first = next(
        (line for line in text.splitlines() if line.strip() and not line.startswith("#")), ""
    )
    notice = _notice_of_csv(text) if first.startswith("日期,") else _notice_of_yaml(text)
    _check_whole(notice)
    return notice


def _notice_of_yaml(text: str) -> Notice:
    content = _yaml_mapping(text)
    if len(content) != 1 or not isinstance(year := next(iter(content)), int):
        raise CalendarError([(1, "文件应只含一个年度，以年份开头，例如 2027:")])
    return _notice_of_mapping(year, content[year])


def _yaml_mapping(text: str) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line + 1 if error.problem_mark else 0
        raise CalendarError([(row, "不是有效的 YAML，请检查缩进和标点")]) from error
    if not isinstance(content, dict):
        raise CalendarError([(1, "文件应以年份或表头开头")])
    return content


def _notice_of_mapping(year: int, entry: Any) -> Notice:
    if not isinstance(entry, dict) or not isinstance(entry.get("rest"), dict):
        raise CalendarError([(0, f"{year} 年缺少 rest（放假日期）")])
    rest = {
        day: str(name)
        for name, spans in entry["rest"].items()
        for text in spans
        for day in _days_of(year, text)
    }
    work = {
        day: _nearest(day, rest) for text in entry.get("work") or [] for day in _days_of(year, text)
    }
    notice = Notice(year, str(entry.get("notice", "")), rest, work)
    if wrong := [(0, reason) for day in sorted(rest | work) if (reason := _wrong(notice, day))]:
        raise CalendarError(wrong)
    return notice


def _days_of(year: int, text: str) -> list[date]:
    """The days of `MM-DD`, `MM-DD/MM-DD` or `YYYY-MM-DD`."""
    try:
        ends = [
            date.fromisoformat(end if len(end) == 10 else f"{year}-{end}")
            for end in str(text).split("/")
        ]
    except ValueError as error:
        raise CalendarError(
            [(0, f"{year} 年的日期“{text}”不存在或写法不对，应为 01-01 或 01-01/01-03")]
        ) from error
    return [ends[0] + timedelta(days=n) for n in range((ends[-1] - ends[0]).days + 1)]


def _notice_of_csv(text: str) -> Notice:
    source = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("#")), "")
    rows: list[tuple[int, date, str, str]] = []
    wrong: list[tuple[int, str]] = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not cells or cells[0].startswith("#") or cells[0] == "日期":
            continue
        try:
            day, kind, name = (cell.strip() for cell in (*cells, "", "")[:3])
            rows.append((number, date.fromisoformat(day), kind, name))
        except ValueError:
            wrong.append((number, f"日期“{cells[0]}”不存在或写法不对，应为 2027-01-01"))
    return _notice_of_rows(source, rows, wrong)


def _notice_of_rows(
    source: str, rows: list[tuple[int, date, str, str]], wrong: list[tuple[int, str]]
) -> Notice:
    if not rows:
        raise CalendarError(wrong or [(0, "文件里没有日期")])
    years = [day.year for _, day, _, _ in rows]
    notice = Notice(max(years, key=years.count), source, {}, {})
    for number, day, kind, name in rows:
        if kind not in ("休", "班"):
            wrong.append((number, f"类型“{kind}”不对，应为 休 或 班"))
        elif day in notice.rest or day in notice.work:
            wrong.append((number, f"{day} 重复出现"))
        else:
            (notice.rest if kind == "休" else notice.work)[day] = name
            if reason := _wrong(notice, day):
                wrong.append((number, reason))
    if wrong:
        raise CalendarError(sorted(wrong))
    return notice


def _wrong(notice: Notice, day: date) -> str:
    """Why this day of the notice cannot be right; empty when it can."""
    if not (day.year == notice.year or _turn(notice, day)):
        return f"{day} 不属于 {notice.year} 年度的安排"
    if day in notice.rest and day in notice.work:
        return f"{day} 既列为休又列为班"
    if day in notice.work and day.weekday() < 5:
        return f"{day} 是星期{WEEKDAYS[day.weekday()]}，本来就是工作日，不能列为调休上班"
    if not notice.rest.get(day, "调休"):
        return f"{day} 没有写明节日"
    return ""


def _turn(notice: Notice, day: date) -> bool:
    """The days at the turn of the year, which only the coming year's notice has ever ruled on."""
    return date(notice.year - 1, 12, 29) <= day < date(notice.year, 1, 1)


def _check_whole(notice: Notice) -> None:
    """Refuse a notice that is cut short: the fixed holidays must be there, and the year must keep a
    usual length.
    """
    wrong = [
        (0, f"缺少法定节假日 {notice.year}-{fixed}")
        for fixed in ("01-01", "05-01", "10-01", "10-02", "10-03")
        if date.fromisoformat(f"{notice.year}-{fixed}") not in notice.rest
    ]
    if not notice.source:
        wrong.append((0, "没有写明来源（国务院办公厅通知的标题和文号）"))
    if not 240 <= (worked := _worked_days(notice)) <= 258:
        wrong.append((0, f"全年工作日为 {worked} 天，不在 240 至 258 天之间，请检查是否漏行"))
    if wrong:
        raise CalendarError(wrong)


def _worked_days(notice: Notice) -> int:
    days = dict.fromkeys(notice.rest, False) | dict.fromkeys(notice.work, True)
    alone = WorkCalendar(days, date(notice.year, 1, 1), date(notice.year, 12, 31))
    return alone.working_days_between(date(notice.year - 1, 12, 31), date(notice.year, 12, 31))


def _nearest(day: date, rest: Mapping[date, str]) -> str:
    """The holiday that a make-up day pays for: the nearest one."""
    return rest[min(rest, key=lambda other: abs(other - day))] if rest else ""
