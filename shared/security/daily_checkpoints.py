"""The daily line: the last checkpoint of each day, short enough to print, copy and type again.

Paper that is signed and filed is out of reach of whoever owns every machine: a log that was
rebuilt contradicts the lines of earlier days.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from shared.security.audit import SqlTransaction

DAYS_SHOWN: Final = 31
GROUP_DIGITS: Final = 4
TYPED_DIGITS_MIN: Final = 32
"""Digits of the root that somebody must type: 128 bits, which nobody can meet by trying."""


@dataclass(frozen=True, slots=True)
class DailyLine:
    """The last checkpoint of a log on one civil day. `root`: hexadecimal, from the left."""

    service: str
    day: date
    size: int
    root: str

    @property
    def text(self) -> str:
        """The line as it is printed."""
        starts = range(0, len(self.root), GROUP_DIGITS)
        groups = " ".join(self.root[start : start + GROUP_DIGITS] for start in starts)
        return f"{self.service} {self.day.isoformat()} {self.size} {groups}"


class LineOutcome(StrEnum):
    """What the log says of a line."""

    AGREES = "一致：日志当时的检查点与这一行相同"
    CONTRADICTS = "矛盾：同样条数的检查点与这一行不同，日志已被改写"
    MISSING = "缺失：日志中没有这个检查点，日志已被截断或重建"


class MalformedLine(ValueError):
    """A text is not a daily line; the message is a sentence for the person who typed it."""


def read_line(text: str) -> DailyLine:
    """Return the line that somebody typed. Raises MalformedLine."""
    found = _LINE.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise MalformedLine(
            "请照抄整行：环节、日期、条数和封存号，例如 intake 2026-11-28 1234 9f3c …"
        )
    service, day, size, root = found.groups()
    digits = root.replace(" ", "")
    if len(digits) < TYPED_DIGITS_MIN:
        raise MalformedLine(f"封存号至少输入前 {TYPED_DIGITS_MIN // GROUP_DIGITS} 组")
    try:
        return DailyLine(service, date.fromisoformat(day), int(size), digits)
    except ValueError as error:
        raise MalformedLine("日期不正确，请按 2026-11-28 的格式输入") from error


async def list_daily_lines(
    tx: SqlTransaction, service: str, *, limit: int = DAYS_SHOWN
) -> list[DailyLine]:
    """Return the lines of days that are over, newest first; a day without entries has none."""
    rows = await tx.fetch(_DAYS, limit)
    return [DailyLine(service, day, size, root.hex()) for day, size, root in rows]


async def check_line(tx: SqlTransaction, line: DailyLine) -> LineOutcome:
    """Return what this schema's checkpoints say of a line of its log."""
    rows = await tx.fetch(_ROOT, line.size)
    if not rows:
        return LineOutcome.MISSING
    (root,) = rows[0]
    is_same = root.hex().startswith(line.root)
    return LineOutcome.AGREES if is_same else LineOutcome.CONTRADICTS


_LINE: Final = re.compile(r"([a-z]+) (\d{4}-\d{2}-\d{2}) (\d{1,18}) ([0-9a-f ]{1,79})")
_DAYS: Final = """
select distinct on (day) day, size, root
from (select (at at time zone 'Asia/Shanghai')::date as day, size, root from checkpoints) as dated
where day < (clock_timestamp() at time zone 'Asia/Shanghai')::date
order by day desc, size desc limit $1
"""
_ROOT: Final = "select root from checkpoints where size = $1"
