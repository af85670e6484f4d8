"""Quiet hours (免打扰): when notifications may leave the installation."""

from datetime import datetime, timedelta
from typing import Final

from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, civil_day, closing

QUIET_UNTIL_HOUR: Final = 8
QUIET_FROM_HOUR: Final = 20


def earliest_send_time(
    now: datetime,
    *,
    urgent: bool,
    calendar: WorkCalendar,
) -> datetime:
    """Return when a notification may be sent.

    Urgent ones are sent at once, the others between 8:00 and 20:00 of working days.
    """
    local = now.astimezone(SHANGHAI)
    today = local.date()
    in_hours = QUIET_UNTIL_HOUR <= local.hour < QUIET_FROM_HOUR
    if urgent or (in_hours and calendar.is_workday(today)):
        return now
    before_opening = local.hour < QUIET_UNTIL_HOUR
    first_day = today if before_opening else today + timedelta(days=1)
    next_workday = calendar.workday_on_or_after(first_day)
    return closing(next_workday, f"{QUIET_UNTIL_HOUR:02}:00")


def end_of_day(now: datetime) -> datetime:
    """Return the next midnight in China."""
    return closing(civil_day(now), "24:00")
