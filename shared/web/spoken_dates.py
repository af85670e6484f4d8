"""Dates and times as people say them: `今天 9:30`, `昨天下午`, `11-20 15点`, `上周三上午九点半`.

Parsing is a pure function of the text and the current time. The form shows how it was understood,
because people understand phrases such as 晚上十二点 differently.
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
    """The text names no date or time; the message is a sentence for the person who entered it."""

    def __init__(self, sentence: str = f"没有看懂这个时间，可以这样写：{EXAMPLES}") -> None:
        super().__init__(sentence)


NO_SUCH_DAY: Final = "没有这一天，请核对日期"
NO_SUCH_TIME: Final = "没有这个时刻，请核对几点几分"
DAY_MISSING: Final = "请写明是哪一天，例如“昨天下午”"


@dataclass(frozen=True, slots=True)
class ParsedTime:
    """An instant and its precision. `at` is aware (Asia/Shanghai), the beginning of the period."""

    at: datetime
    precision: Literal["minute", "part", "day"]
    day_part: str = ""

    def __str__(self) -> str:
        """Return `2026-11-22（周日）09:30`, `2026-11-21（周六）下午` or `2026-11-20（周五）`."""
        time_of_day = f"{self.at:%H:%M}" if self.precision == "minute" else self.day_part
        return f"{self.at:%Y-%m-%d}（周{WEEKDAYS[self.at.weekday()]}）{time_of_day}"


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
"""Word → (hour at which the part begins, hours below which a clock time is in the afternoon or
evening: 下午3点 is 15:00).
"""
_FULL_FORMS: Final = {"早": "早上", "晨": "早上", "晚": "晚上"}
_EVENINGS: Final = frozenset({"晚上", "晚", "夜里", "夜间", "深夜"})
_DAYS: Final = {"大前": -3, "前": -2, "昨": -1, "今": 0, "当": 0, "明": 1, "后": 2}
_WEEKS: Final = {"上上": -2, "上": -1, "本": 0, "这": 0, "下": 1}
_UNITS: Final = {"分钟": "minutes", "小时": "hours", "钟头": "hours", "天": "days", "日": "days"}
_QUARTERS: Final = {"一": 15, "三": 45}
_NOW_WORDS: Final = frozenset({"现在", "刚才", "刚刚", "此刻"})
_WEEK_SPELLINGS: Final = (("礼拜", "星期"), ("星期天", "周日"), ("周天", "周日"), ("星期", "周"))
_N: Final = r"(\d{1,4}|[〇零一二两三四五六七八九十]{1,3})"
_PART: Final = "|".join(sorted(_DAY_PARTS, key=len, reverse=True))
_CLOCK: Final = re.compile(
    r"(?:(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2})?"
    rf"|(?P<spoken_hour>{_N[1:-1]})[点时]"
    rf"(?:钟|整|(?P<half>半)|(?P<quarter>[一三])刻|(?P<spoken_minute>{_N[1:-1]})分?)?)$"
)
_AGO: Final = re.compile(rf"(?:{_N}|(半))个?(分钟|小时|钟头|天|日|周|星期|礼拜)(?:之|以)?前")
TEXT_MAX: Final = 40


def parse_spoken_date(
    text: str,
    now: datetime,
    *,
    future: bool = False,
) -> ParsedTime:
    """Return the instant that `text` names, relative to `now` (aware).

    A date without a year is the most recent one, or with `future` the next one. A time of day
    without a date is today's. Raises UnparsableDate. An instant in the future is not an error here.
    """
    local_now = now.astimezone(CHINA)
    today = local_now.date()
    text = _normalize(text)
    if text in _NOW_WORDS:
        return ParsedTime(local_now.replace(second=0, microsecond=0), "minute")
    ago = _AGO.fullmatch(text)
    if ago:
        return _parse_ago(ago, local_now)
    day, rest = _parse_day(text, today, future)
    return _parse_time_of_day(rest, day, today)


def _normalize(text: str) -> str:
    """Return one spelling: half width, no spaces, the usual separators."""
    text = unicodedata.normalize("NFKC", text).strip().lower()
    if not text or len(text) > TEXT_MAX:
        raise UnparsableDate
    # In `11-20 15:00` the space separates two numbers.
    text = re.sub(r"(\d)[\s,]+(?=\d)", r"\1@", text)
    text = re.sub(r"(\d{4}-\d{1,2}-\d{1,2})t(?=\d)", r"\1@", text)
    text = re.sub(r"[\s,，。的]", "", text)
    for spelling, usual in _WEEK_SPELLINGS:
        text = text.replace(spelling, usual)
    return text


def _parse_ago(found: re.Match[str], local_now: datetime) -> ParsedTime:
    amount = 0.5 if found[2] else float(_number(found[1]))
    unit = _UNITS.get(found[3], "weeks")
    at = (local_now - timedelta(**{unit: amount})).replace(second=0, microsecond=0)
    if unit in ("minutes", "hours"):
        return ParsedTime(at, "minute")
    return ParsedTime(at.replace(hour=0, minute=0), "day")


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def _parse_day(
    text: str,
    today: date,
    future: bool,
) -> tuple[date | None, str]:
    """Return the day, or None if the text names none, and the rest of the text."""
    for pattern, parse in _DAY_FORMS:
        found = pattern.match(text)
        if found is None:
            continue
        try:
            day = parse(found, today, future)
        except ValueError as error:
            raise UnparsableDate(NO_SUCH_DAY) from error
        return day, text[found.end() :].removeprefix("@")
    return None, text


def _relative(
    found: re.Match[str],
    today: date,
    future: bool,
) -> date:
    return today + timedelta(days=_DAYS[found[1]])


def _weekday(
    found: re.Match[str],
    today: date,
    future: bool,
) -> date:
    wanted = WEEKDAYS.index(found[2])
    if found[1]:
        monday = today - timedelta(days=today.weekday())
        weeks = _WEEKS[found[1].rstrip("个")]
        return monday + timedelta(days=wanted + 7 * weeks)
    days_ahead = (wanted - today.weekday()) % 7
    if days_ahead and not future:
        days_ahead -= 7
    return today + timedelta(days=days_ahead)


def _full_date(
    found: re.Match[str],
    today: date,
    future: bool,
) -> date:
    return date(int(found[1]), _number(found[2]), _number(found[3]))


def _month_day(
    found: re.Match[str],
    today: date,
    future: bool,
) -> date:
    month = _number(found[1])
    day_of_month = _number(found[2])
    step = 1 if future else -1
    # 2月29日 may be several years away.
    for year in range(today.year, today.year + 9 * step, step):
        if not _exists(year, month, day_of_month):
            continue
        day = date(year, month, day_of_month)
        if day == today or (day > today) == future:
            return day
    raise UnparsableDate(NO_SUCH_DAY)


def _exists(
    year: int,
    month: int,
    day_of_month: int,
) -> bool:
    return 1 <= month <= 12 and 1 <= day_of_month <= monthrange(year, month)[1]


def _day_of_month(
    found: re.Match[str],
    today: date,
    future: bool,
) -> date:
    day_of_month = _number(found[2])
    is_last_month = bool(found[1])
    year, month = _months_away(today, -1 if is_last_month else 0)
    day = date(year, month, day_of_month)
    if is_last_month or day == today or (day > today) == future:
        return day
    year, month = _months_away(today, 1 if future else -1)
    return date(year, month, day_of_month)


def _months_away(today: date, months: int) -> tuple[int, int]:
    count = today.year * 12 + today.month - 1 + months
    return count // 12, count % 12 + 1


_DayParser = Callable[[re.Match[str], date, bool], date]
_DAY_FORMS: Final[tuple[tuple[re.Pattern[str], _DayParser], ...]] = (
    (re.compile(rf"(大前|前|昨|今|当|明|后)(?:[天日]|(?=(?:{_PART})))"), _relative),
    (re.compile(r"(上上个?|上个?|本|这个?|下个?)?周([一二三四五六日])"), _weekday),
    (re.compile(rf"(\d{{4}})年{_N}月{_N}[日号]?"), _full_date),
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"), _full_date),
    (re.compile(rf"{_N}月{_N}[日号]?"), _month_day),
    (re.compile(r"(\d{1,2})[-/.](\d{1,2})(?!\d)"), _month_day),
    (re.compile(rf"(上个?月)?(?:本月)?{_N}[日号]"), _day_of_month),
)


# ── times of day ──────────────────────────────────────────────────────────────────────────────────


def _parse_time_of_day(
    text: str,
    day: date | None,
    today: date,
) -> ParsedTime:
    found = re.match(rf"({_PART})", text)
    part = found[1] if found else ""
    rest = text.removeprefix(part)
    if not rest and (day or part):
        return _without_clock_time(day, part)
    clock = _CLOCK.match(rest)
    if clock is None:
        raise UnparsableDate
    hour, minute = _hour_minute(clock, part)
    midnight = datetime.combine(day or today, time(), CHINA)
    # 24:00 is the first minute of the next day.
    return ParsedTime(midnight + timedelta(hours=hour, minutes=minute), "minute")


def _without_clock_time(day: date | None, part: str) -> ParsedTime:
    if day is None:
        raise UnparsableDate(DAY_MISSING)
    if not part:
        return ParsedTime(datetime.combine(day, time(), CHINA), "day")
    begins_hour, _ = _DAY_PARTS[part]
    at = datetime.combine(day, time(begins_hour), CHINA)
    return ParsedTime(at, "part", _FULL_FORMS.get(part, part))


def _hour_minute(clock: re.Match[str], part: str) -> tuple[int, int]:
    hour = _in_day_part(_number(clock["hour"] or clock["spoken_hour"]), part)
    minute = _minute(clock)
    is_time = 0 <= hour <= 24 and 0 <= minute <= 59
    if not is_time or (hour == 24 and minute and not part):
        raise UnparsableDate(NO_SUCH_TIME)
    return hour, minute


def _minute(clock: re.Match[str]) -> int:
    if clock["half"]:
        return 30
    if clock["quarter"]:
        return _QUARTERS[clock["quarter"]]
    return _number(clock["minute"] or clock["spoken_minute"] or "0")


def _in_day_part(hour: int, part: str) -> int:
    """Return the hour of the day: 下午3点 is 15, 晚上12点 is 24."""
    if hour == 12 and part in _EVENINGS:
        return 24
    if hour == 12 and part == "凌晨":
        return 0
    _, afternoon_below = _DAY_PARTS.get(part, (0, 0))
    return hour + 12 if hour < afternoon_below else hour


_DIGITS: Final = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
}


def _number(text: str) -> int:
    """Return the value of `20`, `二十`, `二十一`, `两` or `〇`."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.partition("十")
    if not ten and len(text) != 1:
        raise UnparsableDate
    if not ten:
        return _DIGITS[text]
    return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0)
