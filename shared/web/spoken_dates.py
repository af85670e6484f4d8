"""When something happened, as people say it on the telephone: `今天 9:30`, `昨天下午`, `11-20
15点`, `上周三上午九点半`.

A pure function of the text and of now. What was understood is shown back under the field, because
words such as 晚上十二点 are understood differently by different people.
"""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

from shared.foundation.clock import CHINA

WEEKDAYS: Final = "一二三四五六日"
EXAMPLES: Final = "今天 9:30、昨天下午、11-20 15点"


class UnparsableDate(ValueError):
    """The text names no moment; the message is a sentence for the person who typed it."""

    def __init__(self, sentence: str = f"没有看懂这个时间，可以这样写：{EXAMPLES}") -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class ParsedTime:
    """A moment and how exactly it was told. `at` is aware (Asia/Shanghai), the beginning of what
    was said.
    """

    at: datetime
    precision: Literal["minute", "part", "day"]
    day_part: str = ""

    def __str__(self) -> str:
        """`2026-11-22（周日）09:30`, `2026-11-21（周六）下午`, `2026-11-20（周五）`."""
        shown = f"{self.at:%H:%M}" if self.precision == "minute" else self.day_part
        return f"{self.at:%Y-%m-%d}（周{WEEKDAYS[self.at.weekday()]}）{shown}"


_DAY_PARTS: Final[dict[str, tuple[int, int]]] = {
    "凌晨": (0, 0),
    "清晨": (6, 0),
    "早晨": (6, 0),
    "早上": (6, 0),
    "早": (6, 0),
    "晨": (6, 0),
    "上午": (8, 0),
    "中午": (12, 11),
    "午后": (13, 12),
    "下午": (13, 12),
    "傍晚": (17, 12),
    "晚上": (18, 12),
    "夜里": (18, 12),
    "夜间": (18, 12),
    "深夜": (22, 12),
    "晚": (18, 12),
}
"""Word → (hour at which it begins, hours below which a clock time means the afternoon or evening:
下午3点 is 15:00).
"""
_FULL_FORMS: Final = {"早": "早上", "晨": "早上", "晚": "晚上"}
_DAYS: Final = {"大前": -3, "前": -2, "昨": -1, "今": 0, "当": 0, "明": 1, "后": 2}
_N: Final = r"(\d{1,4}|[〇零一二两三四五六七八九十]{1,3})"
_PART: Final = "|".join(sorted(_DAY_PARTS, key=len, reverse=True))
_CLOCK: Final = re.compile(
    rf"(?:(\d{{1,2}}):(\d{{2}})(?::\d{{2}})?|{_N}[点时](?:钟|整|(半)|([一三])刻|{_N}分?)?)$"
)
_AGO: Final = re.compile(rf"(?:{_N}|(半))个?(分钟|小时|钟头|天|日|周|星期|礼拜)(?:之|以)?前")


def parse_spoken_date(text: str, now: datetime, *, future: bool = False) -> ParsedTime:
    """The moment that `text` names, seen from `now` (aware).

    A date without a year is the last one that has been, or with `future` the next one to come. A
    clock time without a date is today's. Raises UnparsableDate; that a moment lies in the future is
    for the caller to judge.
    """
    today, text = now.astimezone(CHINA), _normalize(text)
    if text in ("现在", "刚才", "刚刚", "此刻"):
        return ParsedTime(today.replace(second=0, microsecond=0), "minute")
    if ago := _AGO.fullmatch(text):
        return _parse_ago(ago, today)
    day, rest = _parse_day(text, today.date(), future)
    return _parse_clock(rest, day, today.date())


def _normalize(text: str) -> str:
    """One spelling: half-width, no spaces, usual signs."""
    text = unicodedata.normalize("NFKC", text).strip().lower()
    if not text or len(text) > 40:
        raise UnparsableDate
    text = re.sub(
        r"(\d)[\s,]+(?=\d)", r"\1@", text
    )  # `11-20 15:00`: the space separates two numbers.
    text = re.sub(r"(\d{4}-\d{1,2}-\d{1,2})t(?=\d)", r"\1@", text)
    return (
        re.sub(r"[\s,，。的]", "", text)
        .replace("礼拜", "星期")
        .replace("星期天", "周日")
        .replace("周天", "周日")
        .replace("星期", "周")
    )


def _parse_ago(found: re.Match[str], today: datetime) -> ParsedTime:
    amount = 0.5 if found[2] else float(_number(found[1]))
    unit = {"分钟": "minutes", "小时": "hours", "钟头": "hours", "天": "days", "日": "days"}.get(
        found[3], "weeks"
    )
    at = (today - timedelta(**{unit: amount})).replace(second=0, microsecond=0)
    if unit in ("minutes", "hours"):
        return ParsedTime(at, "minute")
    return ParsedTime(at.replace(hour=0, minute=0), "day")


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def _parse_day(text: str, today: date, future: bool) -> tuple[date | None, str]:
    """The day, and what is left to read. None when no day was named."""
    for pattern, make in _DAY_FORMS:
        if found := pattern.match(text):
            try:
                return make(found, today, future), text[found.end() :].removeprefix("@")
            except ValueError as error:
                raise UnparsableDate("没有这一天，请核对日期") from error
    return None, text


def _relative(found: re.Match[str], today: date, future: bool) -> date:
    return today + timedelta(days=_DAYS[found[1]])


def _weekday(found: re.Match[str], today: date, future: bool) -> date:
    wanted, monday = WEEKDAYS.index(found[2]), today - timedelta(days=today.weekday())
    if found[1]:
        weeks = {"上上": -2, "上": -1, "本": 0, "这": 0, "下": 1}[found[1].rstrip("个")]
        return monday + timedelta(days=wanted + 7 * weeks)
    away = (wanted - today.weekday()) % 7
    return today + timedelta(days=away if future or not away else away - 7)


def _full_date(found: re.Match[str], today: date, future: bool) -> date:
    return date(int(found[1]), _number(found[2]), _number(found[3]))


def _month_day(found: re.Match[str], today: date, future: bool) -> date:
    month, number = _number(found[1]), _number(found[2])
    # 2月29日 may need to go back several years to a year that has it.
    years = range(today.year, today.year + 9) if future else range(today.year, today.year - 9, -1)
    for year in years:
        if 1 <= month <= 12 and 1 <= number <= monthrange(year, month)[1]:
            day = date(year, month, number)
            if day == today or (day > today) == future:
                return day
    raise UnparsableDate("没有这一天，请核对日期")


def _day_of_month(found: re.Match[str], today: date, future: bool) -> date:
    number, back = _number(found[2]), bool(found[1])
    step = 1 if future else -1
    year, month = _months_away(today, -1 if back else 0)
    day = date(year, month, number)
    if back or day == today or (day > today) == future:
        return day
    return date(*_months_away(today, step), number)


def _months_away(today: date, months: int) -> tuple[int, int]:
    count = today.year * 12 + today.month - 1 + months
    return count // 12, count % 12 + 1


_DAY_FORMS: Final[
    tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date, bool], date]], ...]
] = (
    (re.compile(rf"(大前|前|昨|今|当|明|后)(?:[天日]|(?=(?:{_PART})))"), _relative),
    (re.compile(r"(上上个?|上个?|本|这个?|下个?)?周([一二三四五六日])"), _weekday),
    (re.compile(rf"(\d{{4}})年{_N}月{_N}[日号]?"), _full_date),
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"), _full_date),
    (re.compile(rf"{_N}月{_N}[日号]?"), _month_day),
    (re.compile(r"(\d{1,2})[-/.](\d{1,2})(?!\d)"), _month_day),
    (re.compile(rf"(上个?月)?(?:本月)?{_N}[日号]"), _day_of_month),
)


# ── clocks ────────────────────────────────────────────────────────────────────────────────────────


def _parse_clock(text: str, day: date | None, today: date) -> ParsedTime:
    found = re.match(rf"({_PART})", text)
    part, rest = (found[1], text[found.end() :]) if found else ("", text)
    if not rest and (day or part):
        return _without_clock_time(day, part)
    clock = _CLOCK.match(rest)
    if clock is None:
        raise UnparsableDate
    hour, minute = _hour_minute(clock, part)
    # 24:00 is the first minute of the next day.
    return ParsedTime(
        datetime.combine(day or today, time(), CHINA) + timedelta(hours=hour, minutes=minute),
        "minute",
    )


def _without_clock_time(day: date | None, part: str) -> ParsedTime:
    if day is None:
        raise UnparsableDate("请写明是哪一天，例如“昨天下午”")
    word = _FULL_FORMS.get(part, part)
    at = datetime.combine(day, time(_DAY_PARTS[part][0] if part else 0), CHINA)
    return ParsedTime(at, "part" if part else "day", word)


def _hour_minute(clock: re.Match[str], part: str) -> tuple[int, int]:
    hour = int(clock[1]) if clock[1] else _number(clock[3])
    minute = (
        int(clock[2])
        if clock[2]
        else 30
        if clock[4]
        else {"一": 15, "三": 45}.get(clock[5] or "", 0)
    )
    if clock[6]:
        minute = _number(clock[6])
    below = _DAY_PARTS[part][1] if part else 0
    if hour == 12 and part in ("晚上", "晚", "夜里", "夜间", "深夜"):
        hour = 24
    elif hour == 12 and part == "凌晨":
        hour = 0
    elif hour < below:
        hour += 12
    if not (0 <= hour <= 24 and 0 <= minute <= 59) or (hour == 24 and minute and not part):
        raise UnparsableDate("没有这个时刻，请核对几点几分")
    return hour, minute


def _number(text: str) -> int:
    """`20`, `二十`, `二十一`, `两`, `〇`."""
    if text.isdecimal():
        return int(text)
    digits = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
    tens, ten, ones = text.partition("十")
    if not ten:
        if len(text) != 1:
            raise UnparsableDate
        return digits[text]
    return (digits[tens] if tens else 1) * 10 + (digits[ones] if ones else 0)
