"""One source that casts most ballots of a batch: many codes in one hand."""

from typing import Final

from services.intake.domain.integrity.facts import BatchFacts, Evidence

BALLOTS_MIN: Final = 20
"""More than one device of a service hall collects within the time that is looked at."""
SHARE: Final = 0.5


def find_one_source(facts: BatchFacts) -> Evidence | None:
    """Return evidence if one source cast most of the recent ballots of a batch."""
    recent = facts.recent
    if recent.largest_source < BALLOTS_MIN or recent.largest_source < SHARE * recent.recent:
        return None
    return {"from_source": recent.largest_source, "recent": recent.recent}
