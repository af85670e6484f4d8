"""Which waiting ballots may be released together.

An observer who compares the tallies before and after a release must not learn the answers of one
person. So a release changes the tally of a unit by several ballots or not at all.
"""

from collections import Counter
from collections.abc import Mapping, Set
from typing import TypeVar

from shared.appraisal.ballots import answer_of, packed_numbers

BallotT = TypeVar("BallotT")


def units_of(packed: bytes) -> frozenset[int]:
    """Return the numbers of the units that a packed ballot answers about."""
    return frozenset(answer_of(number)[0] for number in packed_numbers(packed))


def releasable(
    waiting: Mapping[BallotT, Set[int]],
    *,
    at_least: int,
) -> list[BallotT]:
    """Return the largest set of ballots in which each unit has `at_least` of them, or none.

    `waiting`: ballot → the units that it answers about. The order is kept.
    """
    chosen = dict(waiting)
    while True:
        counts = Counter(unit for units in chosen.values() for unit in units)
        rare = {unit for unit, count in counts.items() if count < at_least}
        if not rare:
            return list(chosen)
        chosen = {ballot: units for ballot, units in chosen.items() if not units & rare}
