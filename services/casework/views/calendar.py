"""工作日历: a month as a page shows it, and the imported amendments."""

from calendar import Calendar
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.casework.store import calendar
from services.casework.tables import CalendarAmendment
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.storage.transaction import Transaction

SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class DayCell:
    """A day in a month. `changed` marks a day that a proposed amendment changes."""

    day: date
    in_month: bool
    worked: bool
    mark: str
    name: str
    changed: bool
    known: bool


def month_weeks(
    first: date,
    shown: WorkCalendar,
    current: WorkCalendar,
) -> list[list[DayCell]]:
    """Return the weeks of a month, Monday first."""
    weeks = Calendar().monthdatescalendar(first.year, first.month)
    return [[_cell(day, first, shown, current) for day in week] for week in weeks]


def _cell(
    day: date,
    first: date,
    shown: WorkCalendar,
    current: WorkCalendar,
) -> DayCell:
    worked = shown.is_workday(day)
    return DayCell(
        day=day,
        in_month=day.month == first.month,
        worked=worked,
        mark=_mark(shown, day),
        name=shown.names.get(day, ""),
        changed=worked != current.is_workday(day),
        known=shown.is_known(day),
    )


def _mark(calendar: WorkCalendar, day: date) -> str:
    """休 or 班 where a notice decides against the weekday; a letter, never colour alone."""
    if day not in calendar.days:
        return ""
    if not calendar.is_workday(day):
        return "休"
    return "班" if day.weekday() >= SATURDAY else ""


async def current_calendar(tx: Transaction) -> WorkCalendar:
    """Return the calendar in force."""
    return await calendar.current(tx)


async def list_amendments(tx: Transaction) -> list[CalendarAmendment]:
    """Return the imported amendments, newest first."""
    return await calendar.amendments(tx)
