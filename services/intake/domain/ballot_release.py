"""Which waiting ballots may be released together.

An observer who compares the tallies before and after a release must not learn the answers of one
person. So a release changes the tally of a unit by several ballots or not at all.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final, TypeVar

from shared.appraisal.ballots import answer_of, packed_numbers

BALLOTS_MAX: Final = 4_000
"""Ballots of one release."""
ANSWERS_MAX: Final = 40_000
"""Answers of one release, so that its event stays well below Kafka's limit of one megabyte."""
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


def plan_releases(
    waiting: Mapping[BallotT, Set[int]],
    *,
    at_least: int,
    answers: Callable[[BallotT], int],
) -> list[list[BallotT]]:
    """Split the ballots that may be released into releases that each fit into one event.

    Each release has `at_least` ballots about each of its units. `waiting` is in random order, and
    `answers` returns how many answers a ballot has.
    """
    remaining = releasable(waiting, at_least=at_least)
    planned: list[list[BallotT]] = []
    while remaining and (chosen := _next_release(waiting, remaining, at_least, answers)):
        planned.append(chosen)
        taken = set(chosen)
        rest = {ballot: waiting[ballot] for ballot in remaining if ballot not in taken}
        remaining = releasable(rest, at_least=at_least)
    return planned


def _next_release(
    waiting: Mapping[BallotT, Set[int]],
    remaining: list[BallotT],
    at_least: int,
    answers: Callable[[BallotT], int],
) -> list[BallotT]:
    """Return ballots for one event: in random order, or else those about the same units."""
    if chosen := _fitting(waiting, remaining, at_least, answers):
        return chosen
    by_units = sorted(remaining, key=lambda ballot: sorted(waiting[ballot]))
    return _fitting(waiting, by_units, at_least, answers)


def _fitting(
    waiting: Mapping[BallotT, Set[int]],
    ordered: Iterable[BallotT],
    at_least: int,
    answers: Callable[[BallotT], int],
) -> list[BallotT]:
    """Return what may be released of the first ballots that fit into one event."""
    first = {ballot: waiting[ballot] for ballot in _bounded(ordered, answers)}
    return releasable(first, at_least=at_least)


def _bounded(
    ballots: Iterable[BallotT],
    answers: Callable[[BallotT], int],
) -> list[BallotT]:
    """Return the first ballots, as many as fit into one event."""
    bounded: list[BallotT] = []
    total = 0
    for ballot in ballots:
        total += answers(ballot)
        if bounded and (total > ANSWERS_MAX or len(bounded) == BALLOTS_MAX):
            break
        bounded.append(ballot)
    return bounded


def split_into_events(
    ballots: Sequence[BallotT],
    *,
    answers: Callable[[BallotT], int],
) -> list[list[BallotT]]:
    """Split ballots into as few events as hold them, in their order."""
    split: list[list[BallotT]] = []
    done = 0
    while done < len(ballots):
        split.append(_bounded(ballots[done:], answers))
        done += len(split[-1])
    return split
