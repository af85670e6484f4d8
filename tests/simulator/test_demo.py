"""The demo's clock, timeline, checkpoint and staff."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from services.cli.up import contain
from services.simulate.checkpoint import DemoCheckpoint
from services.simulate.demo_clock import DAYS, DemoClock
from services.simulate.staff import belongs_to_demo, in_office_hours, unit_qualities
from services.simulate.timeline import BALLOTS, HALL_BALLOTS, demo_rules, timeline
from services.simulate.units import UNITS
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.schemes import read_scheme
from shared.foundation.clock import CHINA

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CLOCK = DemoClock(NOW - timedelta(days=28), NOW, 28 * 86_400 / 70 + 1)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def test_four_weeks_pass_in_seventy_seconds():
    assert CLOCK.at(NOW) == NOW - timedelta(days=28)
    assert NOW + seconds(69.9) < CLOCK.meets_at < NOW + seconds(70.1)
    assert CLOCK.at(NOW + seconds(100)) == NOW + seconds(100)
    assert CLOCK.at(NOW + seconds(35)) < NOW


@pytest.mark.parametrize("after", [0.5, 10, 60, 69])
def test_seconds_until_a_legal_instant(after: float):
    legal = CLOCK.at(NOW + seconds(after))
    assert CLOCK.seconds_until(legal, NOW) == pytest.approx(after, abs=0.01)
    assert CLOCK.seconds_until(legal, NOW + seconds(after + 1)) == 0


def test_killed_demo_restarts_its_clock_and_a_finished_one_does_not():
    later, legal = NOW + timedelta(hours=5), NOW - timedelta(days=11)

    assert (
        CLOCK.restarted(later, last_written_at=NOW + seconds(200), last_legal=NOW + seconds(200))
        is CLOCK
    )
    killed = CLOCK.restarted(later, last_written_at=NOW + seconds(30), last_legal=legal)
    assert (killed.anchor, killed.started_at) == (legal, later)


def test_timeline_is_deterministic_and_has_unique_keys():
    events = timeline(date(2026, 10, 26))

    assert events == timeline(date(2026, 10, 26)) == sorted(events)
    assert len({event.key for event in events}) == len(events)
    assert {event.about for event in events if event.kind == "visit"} == {
        body.unit_id for body in UNITS
    }
    assert Counter(event.kind for event in events)["ballot"] == sum(
        (BALLOTS | HALL_BALLOTS).values()
    )
    first, last = events[0].at.astimezone(CHINA).date(), events[-1].at.astimezone(CHINA).date()
    assert date(2026, 10, 26) <= first < last <= date(2026, 10, 26) + timedelta(days=DAYS - 1)


@pytest.mark.parametrize(
    "begins", [date(2026, 10, 26), date(2026, 12, 10), date(2027, 2, 1), date(2027, 12, 31)]
)
def test_demo_rules_are_scheme_j_for_any_first_day(begins: date):
    scheme, shipped = (
        read_scheme(demo_rules(begins), begins.year),
        read_scheme(demo_rules(date(2026, 8, 15)), 2026),
    )

    assert scheme.period.begins == begins
    assert [obligation.due > begins for obligation in scheme.obligations] == [True, True]
    assert scheme.components == shipped.components


def test_checkpoint_is_saved_and_restored(tmp_path):
    checkpoint = DemoCheckpoint.open(tmp_path / "checkpoint.json", date(2026, 10, 26))
    checkpoint.codes = {"hall/applicants": ["x"]}
    checkpoint.done = 17
    checkpoint.save()

    again = DemoCheckpoint.open(tmp_path / "checkpoint.json", date(2026, 11, 1))

    assert (again.begins, again.codes, again.done) == (
        date(2026, 10, 26),
        {"hall/applicants": ["x"]},
        17,
    )
    assert (tmp_path / "checkpoint.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("at", "day", "hour"),
    [
        (datetime(2026, 11, 3, 10, 0, tzinfo=CHINA), date(2026, 11, 3), {10}),
        (datetime(2026, 11, 3, 20, 0, tzinfo=CHINA), date(2026, 11, 4), {8, 9, 10}),
        (datetime(2026, 11, 7, 11, 0, tzinfo=CHINA), date(2026, 11, 9), {8, 9, 10}),
        (datetime(2026, 11, 3, 5, 0, tzinfo=CHINA), date(2026, 11, 3), {8, 9, 10}),
    ],
)
def test_staff_acts_in_office_hours(at: datetime, day: date, hour: set[int]):
    from random import Random

    moved = in_office_hours(at, china(), Random(1))
    assert moved.date() == day
    assert moved.hour in hour


def test_unit_qualities_differ():
    quality = unit_qualities(1)
    assert quality == unit_qualities(1)
    assert max(quality.values()) - min(quality.values()) > 0.3


def test_staff_ignores_units_outside_the_demo():
    """Other units may be registered beside those of the demo."""
    assert [belongs_to_demo(unit) for unit in (None, "D000013", "D000805")] == [True, True, False]


async def test_failing_demo_does_not_stop_the_installation():
    async def fail():
        raise KeyError("1805")

    await contain(fail())
