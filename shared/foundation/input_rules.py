"""What no input may contain, whatever its field: the rules that databases and calendars impose.

PostgreSQL stores no NUL, an `int` column has 32 bits, time arithmetic fails in the year 1. A value
that breaks one of these rules is rejected at the edge, with a sentence, instead of failing inside.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

INT_MAX: Final = 2**31 - 1
YEAR_MIN: Final = 1900
YEAR_MAX: Final = 2199
DEPTH_MAX: Final = 32
"""Levels of lists and objects in a document."""

CONTROL_CHARACTER: Final = "含有不可见的控制字符，请删除后再提交"
NUMBER_TOO_LARGE: Final = f"数字过大，应在正负 {INT_MAX:,} 之间"
NOT_FINITE: Final = "应为有限的数字"
YEAR_OUT_OF_RANGE: Final = f"日期应在 {YEAR_MIN} 年至 {YEAR_MAX} 年之间"
ZONE_MISSING: Final = "应带时区，例如 2026-11-22T09:30:00+08:00"
TOO_DEEP: Final = f"层次太深，最多 {DEPTH_MAX} 层"

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_OR_BREAK: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Path = tuple[str, ...]
Problem = tuple[Path, str]
"""Where in the value, and a sentence."""


def text_problem(text: str, *, one_line: bool = False) -> str:
    """Return what is wrong with a text, or "". Tabs and line breaks are right unless `one_line`."""
    forbidden = _CONTROL_OR_BREAK if one_line else _CONTROL
    return CONTROL_CHARACTER if forbidden.search(text) else ""


def without_control_characters(text: str) -> str:
    """Return the text without the characters that `text_problem` complains about."""
    return _CONTROL.sub("", text)


def value_problem(value: object) -> str:
    """Return what is wrong with a single text, number, date or instant, or ""."""
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float | Decimal):
        return _number_problem(value)
    if isinstance(value, date):
        return _date_problem(value)
    return ""


def _number_problem(number: int | float | Decimal) -> str:
    if not isinstance(number, int) and not math.isfinite(number):
        return NOT_FINITE
    in_range = -INT_MAX <= number <= INT_MAX
    return "" if in_range else NUMBER_TOO_LARGE


def _date_problem(day: date) -> str:
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        return YEAR_OUT_OF_RANGE
    if isinstance(day, datetime) and day.tzinfo is None:
        return ZONE_MISSING
    return ""


def find_problems(value: object, path: Path = ()) -> Iterator[Problem]:
    """Yield the problems of a value and of everything in it: lists, objects and their keys."""
    if len(path) > DEPTH_MAX:
        yield path, TOO_DEEP
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _key_problems(key, path)
            yield from find_problems(item, (*path, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for position, item in enumerate(value):
            yield from find_problems(item, (*path, str(position)))
    elif problem := value_problem(value):
        yield path, problem


def _key_problems(key: object, path: Path) -> Iterator[Problem]:
    if problem := value_problem(key):
        yield path, problem
