"""Obligations of units (方案、自评报告 …): when they are due and when units are reminded."""

from datetime import UTC, datetime, time
from typing import Final

from shared.appraisal.calendar.deadlines import DeadlineTimes
from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, closing
from shared.appraisal.schemes import ObligationRule

REMINDER_TIME: Final = time(9)
SEVERE_AFTER_WORKING_DAYS: Final = 5


def reminders(rule: ObligationRule, calendar: WorkCalendar) -> list[datetime]:
    """Return when units are reminded (UTC, earliest first): at 09:00 in Shanghai, `rule.remind`
    working days before the due day.
    """
    days = {calendar.add_working_days(rule.due, -before).day for before in rule.remind}
    return [datetime.combine(day, REMINDER_TIME, SHANGHAI).astimezone(UTC) for day in sorted(days)]


def obligation_deadline(rule: ObligationRule, calendar: WorkCalendar) -> DeadlineTimes:
    """Return the instants of an obligation: due at the close of its due day, 临期 from the first
    reminder, 严重超期 five working days after the due day.
    """
    due_at = closing(rule.due, rule.closes)
    severe_day = calendar.add_working_days(rule.due, SEVERE_AFTER_WORKING_DAYS).day
    warn_at = next((at for at in reminders(rule, calendar) if at < due_at), due_at)
    return DeadlineTimes(
        due_at, rule.due, False, calendar.version, warn_at, closing(severe_day, rule.closes)
    )
