"""Holiday notices of the State Council: reading and checking them."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

from shared.appraisal.calendar.working_days import (
    ONE_DAY,
    WEEKDAYS,
    CalendarError,
    HolidayNotice,
    WorkCalendar,
    days_between,
)
from shared.foundation.safe_yaml import InvalidYaml, load_yaml

CSV_HEADER: Final = "日期,"
FIXED_HOLIDAYS: Final = ("01-01", "05-01", "10-01", "10-02", "10-03")
WORKED_DAYS: Final = range(240, 259)
"""The number of working days that a year may have."""


@cache
def china() -> WorkCalendar:
    """Return the shipped calendar: from 2004 through the last notice known at build time."""
    path = Path(__file__).with_name("data") / "china.yaml"
    return read_calendar(path.read_text(encoding="utf-8"))


def read_calendar(text: str) -> WorkCalendar:
    """Return the calendar in the text of a file like data/china.yaml. Raises CalendarError."""
    content = _yaml_mapping(text)
    days: dict[date, bool] = {}
    names: dict[date, str] = {}
    notices: dict[int, str] = {}
    for year, entry in content["years"].items():
        notice = _notice_of_mapping(year, entry)
        days |= notice.days
        names |= notice.names
        notices[year] = notice.source
    return WorkCalendar(days, content["known_from"], content["known_through"], names, notices)


def read_notice(text: str) -> HolidayNotice:
    """Return the yearly notice in a YAML or CSV text. Raises CalendarError.

    YAML, as in data/china.yaml: `2027: {notice: …, rest: {元旦: [01-01/01-03]}, work: [01-04]}`.
    CSV: a comment line `# source`, a header `日期,类型,节日`, then rows `2027-01-01,休,元旦` of
    type 休 or 班.
    """
    notice = _notice_of_csv(text) if _is_csv(text) else _notice_of_yaml(text)
    _check_complete(notice)
    return notice


def _is_csv(text: str) -> bool:
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return next(lines, "").startswith(CSV_HEADER)


def _notice_of_yaml(text: str) -> HolidayNotice:
    content = _yaml_mapping(text)
    if len(content) != 1 or not isinstance(year := next(iter(content)), int):
        raise CalendarError([(1, "文件应只含一个年度，以年份开头，例如 2027:")])
    return _notice_of_mapping(year, content[year])


def _yaml_mapping(text: str) -> dict[Any, Any]:
    try:
        content = load_yaml(text)
    except InvalidYaml as error:
        raise CalendarError([(error.line, error.sentence)]) from error
    if not isinstance(content, dict):
        raise CalendarError([(1, "文件应以年份或表头开头")])
    return content


def _notice_of_mapping(year: int, entry: Any) -> HolidayNotice:
    if not isinstance(entry, dict) or not isinstance(entry.get("rest"), dict):
        raise CalendarError([(0, f"{year} 年缺少 rest（放假日期）")])
    rest: dict[date, str] = {}
    for name, spans in entry["rest"].items():
        rest |= dict.fromkeys(_days_in(year, spans), str(name))
    worked = _days_in(year, entry.get("work") or [])
    work = {day: _nearest(day, rest) for day in worked}
    notice = HolidayNotice(year, str(entry.get("notice", "")), rest, work)
    _check_days(notice)
    return notice


def _check_days(notice: HolidayNotice) -> None:
    reasons = [_day_error(notice, day) for day in sorted(notice.days)]
    wrong = [(0, reason) for reason in reasons if reason]
    if wrong:
        raise CalendarError(wrong)


def _days_in(year: int, spans: Iterable[str]) -> list[date]:
    return [day for text in spans for day in _days_of(year, text)]


def _days_of(year: int, text: str) -> list[date]:
    """Return the days of `MM-DD`, `MM-DD/MM-DD` or `YYYY-MM-DD`."""
    try:
        ends = [_date_in(year, end) for end in str(text).split("/")]
    except ValueError as error:
        sentence = f"{year} 年的日期“{text}”不存在或写法不对，应为 01-01 或 01-01/01-03"
        raise CalendarError([(0, sentence)]) from error
    return list(days_between(ends[0] - ONE_DAY, ends[-1]))


def _date_in(year: int, text: str) -> date:
    has_year = len(text) == len("YYYY-MM-DD")
    return date.fromisoformat(text if has_year else f"{year}-{text}")


def _notice_of_csv(text: str) -> HolidayNotice:
    rows: list[_CsvRow] = []
    wrong: list[tuple[int, str]] = []
    for number, cells in _csv_lines(text):
        try:
            rows.append(_CsvRow.parse(number, cells))
        except ValueError:
            wrong.append((number, f"日期“{cells[0]}”不存在或写法不对，应为 2027-01-01"))
    if not rows:
        raise CalendarError(wrong or [(0, "文件里没有日期")])
    return _notice_of_rows(_source_of(text), rows, wrong)


@dataclass(frozen=True, slots=True)
class _CsvRow:
    """A day of a notice: `kind` is 休 or 班."""

    number: int
    day: date
    kind: str
    name: str

    @classmethod
    def parse(cls, number: int, cells: Sequence[str]) -> "_CsvRow":
        """Return the row. Raises ValueError if its date is none."""
        day, kind, name = (cell.strip() for cell in (*cells, "", "")[:3])
        return cls(number, date.fromisoformat(day), kind, name)


def _csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
        if cells and cells[0] != "日期" and not cells[0].startswith("#"):
            yield number, cells


def _source_of(text: str) -> str:
    comments = (line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    return next(comments, "")


def _notice_of_rows(
    source: str,
    rows: Sequence[_CsvRow],
    wrong: list[tuple[int, str]],
) -> HolidayNotice:
    years = [row.day.year for row in rows]
    notice = HolidayNotice(max(years, key=years.count), source, {}, {})
    for row in rows:
        if reason := _add_row(notice, row):
            wrong.append((row.number, reason))
    if wrong:
        raise CalendarError(sorted(wrong))
    return notice


def _add_row(notice: HolidayNotice, row: _CsvRow) -> str:
    """Add the day of a row to the notice; return why it is wrong, "" if it is right."""
    if row.kind not in ("休", "班"):
        return f"类型“{row.kind}”不对，应为 休 或 班"
    if row.day in notice.rest or row.day in notice.work:
        return f"{row.day} 重复出现"
    listed = notice.rest if row.kind == "休" else notice.work
    listed[row.day] = row.name
    return _day_error(notice, row.day)


def _day_error(notice: HolidayNotice, day: date) -> str:
    """Return why this day of the notice is wrong; "" if it is right."""
    if not notice.decides(day):
        return f"{day} 不属于 {notice.year} 年度的安排"
    if day in notice.rest and day in notice.work:
        return f"{day} 既列为休又列为班"
    if day in notice.work and day.weekday() < 5:
        return f"{day} 是星期{WEEKDAYS[day.weekday()]}，本来就是工作日，不能列为调休上班"
    if not notice.rest.get(day, "调休"):
        return f"{day} 没有写明节日"
    return ""


def _check_complete(notice: HolidayNotice) -> None:
    """Raise CalendarError for a truncated notice: fixed holidays or the source are missing, or the
    number of working days is unusual.
    """
    sentences = [f"缺少法定节假日 {notice.year}-{holiday}" for holiday in _missing_holidays(notice)]
    if not notice.source:
        sentences.append("没有写明来源（国务院办公厅通知的标题和文号）")
    worked = _worked_days(notice)
    if worked not in WORKED_DAYS:
        sentences.append(f"全年工作日为 {worked} 天，不在 240 至 258 天之间，请检查是否漏行")
    if sentences:
        raise CalendarError([(0, sentence) for sentence in sentences])


def _missing_holidays(notice: HolidayNotice) -> list[str]:
    days = {holiday: _date_in(notice.year, holiday) for holiday in FIXED_HOLIDAYS}
    return [holiday for holiday, day in days.items() if day not in notice.rest]


def _worked_days(notice: HolidayNotice) -> int:
    first = date(notice.year, 1, 1)
    last = date(notice.year, 12, 31)
    alone = WorkCalendar(notice.days, first, last)
    return alone.working_days_between(first - ONE_DAY, last)


def _nearest(day: date, rest: Mapping[date, str]) -> str:
    """Return the holiday that a make-up day belongs to: the nearest one."""
    return rest[min(rest, key=lambda other: abs(other - day))] if rest else ""
