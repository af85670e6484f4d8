"""Staff of a unit that rate the unit itself, or each other's units, with top marks.

Ballots are never tied to a device, so the ratings are those of the whole batch to which devices of
the unit's staff contributed.
"""

from typing import Final

from services.intake.domain.integrity.facts import BatchFacts, Evidence

BALLOTS_MIN: Final = 10
TOP_PERCENT: Final = 90
SHARE: Final = 0.2


def find_cross_rating(facts: BatchFacts) -> Evidence | None:
    """Return evidence if staff of a unit rate it in this batch and the marks are nearly all top.

    Several units whose staff do so in one batch rate each other: their counts are added.
    """
    by_staff = facts.recent.by_staff
    staff = {unit: count for unit, count in by_staff.items() if _rates_itself(facts, unit)}
    from_staff = sum(staff.values())
    if from_staff < BALLOTS_MIN or from_staff < SHARE * facts.ballots:
        return None
    rated = [facts.ratings[unit] for unit in staff]
    return {
        "from_staff": from_staff,
        "about_own_unit": max(one.ballots for one in rated),
        "top_percent": min(one.top_percent for one in rated),
    }


def _rates_itself(facts: BatchFacts, unit: str) -> bool:
    rated = facts.ratings.get(unit)
    return rated is not None and rated.ballots >= BALLOTS_MIN and rated.top_percent >= TOP_PERCENT
