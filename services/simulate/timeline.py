"""What complainants, respondents and inspectors do during the four weeks of a demo."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from random import Random
from typing import Final

from services.simulate.client import id_of
from services.simulate.demo_clock import DAYS
from services.simulate.units import UNITS
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.schemes.files import FOLDER
from shared.foundation.clock import CHINA

SEED: Final = 20200812
PLAN_DUE_DAY: Final = 7
COVERT_DAYS: Final = (PLAN_DUE_DAY + 1, PLAN_DUE_DAY + 8)
"""The first and the last day of the covert round, counted from the first day of the demo."""
REPORT_DUE_DAYS_AFTER_NOW: Final = 8
BALLOTS: Final = {
    ("deputies", "npc"): 40,
    ("deputies", "cppcc"): 36,
    ("cities", "city_units"): 32,
    ("contacts", "contact_leads"): 11,
}
"""Ballots by (questionnaire, group)."""
HALL_BALLOTS: Final = {("hall", "applicants"): 260, ("hall", "complainants"): 90}
"""Ballots of the service hall; each is about a few units only."""
KINDS: Final = ("complaint", "ballot", "visit")


@dataclass(frozen=True, slots=True, order=True)
class TimelineEvent:
    """The `number`-th complaint, ballot or visit. `about` is a unit or "questionnaire/group"."""

    at: datetime
    kind: str
    number: int
    about: str = ""

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(id_of("demo", SEED, self.kind, self.number, self.at.date()))

    @property
    def rng(self) -> Random:
        """The random numbers of this event, from the start."""
        return Random(f"{SEED}/{self.kind}/{self.number}")


def timeline(begins: date) -> list[TimelineEvent]:
    """Return all events of the four weeks in order; the same for the same first day."""
    return sorted([*_complaints(begins), *_ballots(begins), *_visits(begins)])


def _complaints(begins: date) -> Iterator[TimelineEvent]:
    rng = Random(f"{SEED}/complaints")
    numbers = count()
    for day in _days(begins, first=0):
        bounds = (6, 11) if china().is_workday(day) else (1, 4)
        for _ in range(rng.randint(*bounds)):
            yield TimelineEvent(_instant(day, rng, 8, 20), "complaint", next(numbers))


def _ballots(begins: date) -> Iterator[TimelineEvent]:
    rng = Random(f"{SEED}/ballots")
    numbers = count()
    days = _days(begins, first=PLAN_DUE_DAY + 1)
    for (instrument, group), ballots in (BALLOTS | HALL_BALLOTS).items():
        for _ in range(ballots):
            at = _instant(rng.choice(days), rng, 9, 17)
            yield TimelineEvent(at, "ballot", next(numbers), f"{instrument}/{group}")


def _visits(begins: date) -> Iterator[TimelineEvent]:
    """Yield at least one visit to every unit; a third of them get a second one."""
    rng = Random(f"{SEED}/visits")
    all_days = _days(begins, first=PLAN_DUE_DAY + 1)
    workdays = [day for day in all_days if china().is_workday(day)]
    units = rng.sample(UNITS, len(UNITS)) + rng.sample(UNITS, len(UNITS) // 3)
    for number, unit in enumerate(units):
        day = workdays[number * len(workdays) // len(units)]
        at = _instant(day, rng, 9, 16)
        yield TimelineEvent(at, "visit", number, unit.unit_id)


def covert_days(begins: date) -> tuple[date, date]:
    """Return the first and the last day of the covert round."""
    first, last = COVERT_DAYS
    return begins + timedelta(days=first), begins + timedelta(days=last)


def _days(begins: date, *, first: int) -> list[date]:
    return [begins + timedelta(days=number) for number in range(first, DAYS)]


def _instant(
    day: date,
    rng: Random,
    first_hour: int,
    last_hour: int,
) -> datetime:
    minutes = rng.randint(first_hour * 60, last_hour * 60)
    hour, minute = divmod(minutes, 60)
    second = rng.randrange(60)
    local = datetime.combine(day, time(hour, minute, second), CHINA)
    return local.astimezone(UTC)


def ballot_position(event: TimelineEvent) -> int:
    """Return the position of a ballot within its questionnaire group."""
    before = 0
    for (instrument, group), ballots in (BALLOTS | HALL_BALLOTS).items():
        if f"{instrument}/{group}" == event.about:
            return event.number - before
        before += ballots
    raise ValueError(event.about)


def demo_rules(begins: date) -> str:
    """Return scheme J's text with its dates moved to a demo that begins on this day.

    Plans are due in its first week, self-appraisals shortly after its end.
    """
    text = (FOLDER / "j.yaml").read_text(encoding="utf-8")
    for original, day in _moved_dates(begins).items():
        new = f"{day:%m-%d}" if day.year == begins.year else f'"+1 {day:%m-%d}"'
        for key in ("begins", "ends", "due"):
            # The mark keeps a moved date from being moved again.
            text = text.replace(f"{key}: {original}", f"{key}: @{new}")
    return text.replace(": @", ": ")


def _moved_dates(begins: date) -> dict[str, date]:
    plan_due = begins + timedelta(days=PLAN_DUE_DAY)
    report_due = begins + timedelta(days=DAYS + REPORT_DUE_DAYS_AFTER_NOW)
    return {
        "08-15": begins,
        "09-01": plan_due,
        "09-02": plan_due + timedelta(days=1),
        "11-30": report_due,
        "12-01": report_due + timedelta(days=1),
        "12-10": report_due + timedelta(days=10),
    }
