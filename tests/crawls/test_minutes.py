"""Nobody of a unit learns the minute of a report, call or covert visit: no page, API or export."""

from datetime import UTC

import pytest

from tests.crawls.things import UNIT_ROLES
from tests.crawls.world import REPORTED_AT, VISITED_AT

pytestmark = pytest.mark.stack


def minutes(instant):
    """Return the spellings of a minute, in Shanghai and in UTC."""
    for each in (instant, instant.astimezone(UTC)):
        yield from (
            f"{each:%H:%M}",
            f"{each:%H：%M}",
            f"{each.hour}:{each:%M}",
            f"{each.hour}时{each:%M}",
        )
    yield str(int(instant.timestamp()))


def minutes_in(readings, *, by_units):
    """Yield what people of units, or all others, read of the minutes."""
    words = {word for instant in (REPORTED_AT, VISITED_AT) for word in minutes(instant)}
    for each in readings:
        if each.account and (each.account.role in UNIT_ROLES) == by_units:
            text = each.answer.text
            yield from (f"{word} in {each}" for word in words if word in text)


def test_units_read_days_and_never_minutes(readings):
    wrong = sorted(minutes_in(readings, by_units=True))

    assert not wrong, "\n".join(wrong)
    assert any(minutes_in(readings, by_units=False)), (
        "others do read them: the search finds a minute"
    )
