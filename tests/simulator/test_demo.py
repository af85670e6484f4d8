"""The demo's time, its timeline and its journal."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from services.cli.up import _perform
from services.simulate.demo import (
    BALLOTS,
    DAYS,
    HALL_BALLOTS,
    Journal,
    Pace,
    rules_around,
    timeline,
)
from services.simulate.people import BODIES
from services.simulate.staff import in_office_hours, is_ours, standings
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.schemes import read_scheme
from shared.foundation.clock import CHINA

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PACE = Pace(NOW - timedelta(days=28), NOW, 28 * 86_400 / 70 + 1)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def test_four_weeks_pass_in_seventy_seconds_and_then_time_is_real():
    assert PACE.at(NOW) == NOW - timedelta(days=28)
    assert NOW + seconds(69.9) < PACE.meets_at < NOW + seconds(70.1)
    assert PACE.at(NOW + seconds(100)) == NOW + seconds(100)
    assert PACE.at(NOW + seconds(35)) < NOW


@pytest.mark.parametrize("after", [0.5, 10, 60, 69])
def test_waiting_for_a_legal_instant_ends_when_it_is_there(after: float):
    legal = PACE.at(NOW + seconds(after))
    assert PACE.seconds_until(legal, NOW) == pytest.approx(after, abs=0.01)
    assert PACE.seconds_until(legal, NOW + seconds(after + 1)) == 0


def test_finished_demo_is_left_alone_and_a_killed_one_goes_on_where_it_was():
    later, legal = NOW + timedelta(hours=5), NOW - timedelta(days=11)

    assert (
        PACE.again(later, last_written_at=NOW + seconds(200), last_legal=NOW + seconds(200)) is PACE
    )
    killed = PACE.again(later, last_written_at=NOW + seconds(30), last_legal=legal)
    assert (killed.anchor, killed.started_at) == (legal, later)


def test_timeline_is_the_same_for_the_same_day_and_never_takes_a_step_twice():
    steps = timeline(date(2026, 10, 26))

    assert steps == timeline(date(2026, 10, 26)) == sorted(steps)
    assert len({step.key for step in steps}) == len(steps)
    assert {step.about for step in steps if step.kind == "visit"} == {
        body.unit_id for body in BODIES
    }
    assert Counter(step.kind for step in steps)["ballot"] == sum((BALLOTS | HALL_BALLOTS).values())
    first, last = steps[0].at.astimezone(CHINA).date(), steps[-1].at.astimezone(CHINA).date()
    assert date(2026, 10, 26) <= first < last <= date(2026, 10, 26) + timedelta(days=DAYS - 1)


@pytest.mark.parametrize(
    "begins", [date(2026, 10, 26), date(2026, 12, 10), date(2027, 2, 1), date(2027, 12, 31)]
)
def test_rules_of_the_demo_are_scheme_j_around_any_day(begins: date):
    scheme, shipped = (
        read_scheme(rules_around(begins), begins.year),
        read_scheme(rules_around(date(2026, 8, 15)), 2026),
    )

    assert scheme.period.begins == begins
    assert [obligation.due > begins for obligation in scheme.obligations] == [True, True]
    assert scheme.components == shipped.components


def test_journal_outlives_a_kill(tmp_path):
    journal = Journal.open(tmp_path / "journal.json", date(2026, 10, 26))
    journal.codes, journal.done = {"hall/applicants": ["x"]}, 17
    journal.save()

    again = Journal.open(tmp_path / "journal.json", date(2026, 11, 1))

    assert (again.begins, again.codes, again.done) == (
        date(2026, 10, 26),
        {"hall/applicants": ["x"]},
        17,
    )
    assert (tmp_path / "journal.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("at", "day", "hour"),
    [
        (datetime(2026, 11, 3, 10, 0, tzinfo=CHINA), date(2026, 11, 3), {10}),
        (datetime(2026, 11, 3, 20, 0, tzinfo=CHINA), date(2026, 11, 4), {8, 9, 10}),
        (datetime(2026, 11, 7, 11, 0, tzinfo=CHINA), date(2026, 11, 9), {8, 9, 10}),
        (datetime(2026, 11, 3, 5, 0, tzinfo=CHINA), date(2026, 11, 3), {8, 9, 10}),
    ],
)
def test_staff_act_in_office_hours(at: datetime, day: date, hour: set[int]):
    from random import Random

    moved = in_office_hours(at, china(), Random(1))
    assert moved.date() == day
    assert moved.hour in hour


def test_units_differ_in_how_well_they_work():
    standing = standings(1)
    assert standing == standings(1)
    assert max(standing.values()) - min(standing.values()) > 0.3


def test_staff_leave_other_peoples_units_alone():
    """Somebody may register units of their own beside the demo's."""
    assert [is_ours({"unit_id": unit}) for unit in (None, "G02", "1805")] == [True, True, False]


async def test_a_demo_that_fails_does_not_end_the_installation():
    async def play():
        raise KeyError("1805")

    await _perform(play())
