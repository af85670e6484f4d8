"""More ballots within minutes than respondents of such a batch cast."""

from typing import Final

from services.intake.domain.integrity.facts import BatchFacts, Evidence

BALLOTS_MIN: Final = 30
"""A smaller burst is a meeting that fills in its questionnaires together."""
SHARE: Final = 0.65
"""Of a batch within the window. In a meeting people finish over more than ten minutes."""
LARGE_BURST: Final = 300
LARGE_SHARE: Final = 0.15
"""Of a large batch, whose respondents are in no one room."""


def burst_limit(expected: int) -> int:
    """Return how many ballots within the window are still usual for a batch of this size."""
    share = min(SHARE * expected, max(LARGE_BURST, LARGE_SHARE * expected))
    return max(BALLOTS_MIN, round(share))


def find_burst(facts: BatchFacts) -> Evidence | None:
    """Return evidence if ballots came faster than is usual for the size of the batch."""
    limit = burst_limit(facts.expected or facts.ballots)
    in_window = facts.recent.in_window
    return {"in_window": in_window, "window_limit": limit} if in_window > limit else None
