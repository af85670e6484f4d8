"""Amendments of the working calendar: a yearly notice, or one day decided by hand."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum

import msgspec

from shared.appraisal.calendar.holiday_notices import read_notice
from shared.appraisal.calendar.working_days import CalendarError, HolidayNotice, WorkCalendar
from shared.appraisal.errors import Rejected


class AmendmentKind(StrEnum):
    """What an amendment decides."""

    YEAR = "year"
    DAY = "day"


class DayRule(msgspec.Struct, frozen=True):
    """One day decided by hand: worked or not, and on what basis."""

    day: date
    worked: bool
    name: str


class Amendment(msgspec.Struct, frozen=True):
    """A change of the calendar in the form in which it is stored."""

    kind: AmendmentKind
    year: int
    source: str
    content: str

    @classmethod
    def from_notice(cls, text: str) -> "Amendment":
        """Read a yearly notice (YAML or CSV). Raises Rejected (422) that lists every wrong row."""
        with _rejecting_invalid():
            notice = read_notice(text)
        return cls(AmendmentKind.YEAR, notice.year, notice.source, _json(notice))

    @classmethod
    def for_day(
        cls,
        day: date,
        *,
        worked: bool,
        name: str,
    ) -> "Amendment":
        """Decide one day by hand. Raises Rejected (422) without a basis."""
        basis = name.strip()
        if not basis:
            raise Rejected("请写明依据，例如“省政府关于……的通知”", status=422, field="name")
        rule = DayRule(day, worked, basis)
        return cls(AmendmentKind.DAY, day.year, basis, _json(rule))

    def apply(self, calendar: WorkCalendar) -> WorkCalendar:
        """Return the calendar with this amendment. Raises Rejected (422) if it does not fit."""
        with _rejecting_invalid():
            return amended(calendar, self.kind, self.content)


@contextmanager
def _rejecting_invalid() -> Generator[None]:
    """Turn a CalendarError into Rejected (422)."""
    try:
        yield
    except CalendarError as error:
        raise Rejected(str(error), status=422, field="text") from error


def _json(content: HolidayNotice | DayRule) -> str:
    return msgspec.json.encode(content).decode()


def amended(
    calendar: WorkCalendar,
    kind: str,
    content: str,
) -> WorkCalendar:
    """Return the calendar with one stored amendment. Raises CalendarError if it does not fit."""
    if kind == AmendmentKind.YEAR:
        return calendar.with_notice(msgspec.json.decode(content, type=HolidayNotice))
    rule = msgspec.json.decode(content, type=DayRule)
    return calendar.with_day(rule.day, rule.worked, rule.name)
