"""One pattern of answers again and again, far beyond what the group shows."""

from typing import Final

from services.intake.domain.integrity.facts import AnswerPattern, BatchFacts, Evidence

BALLOTS_MIN: Final = 30
ANSWERS_MIN: Final = 3
"""Fewer answers are often equal by chance."""
REFERENCE_MIN: Final = 50
"""Ballots of other batches that show what is usual."""
UNEXPLAINED: Final = 0.6
"""Share of the ballots that do not already have the pattern as often as in the group."""
ALONE: Final = 0.95
"""Share of one pattern that is suspicious without any other batch to compare with."""


def find_identical_answers(facts: BatchFacts) -> Evidence | None:
    """Return evidence if one pattern is more frequent than the other batches explain."""
    pattern = facts.pattern
    if pattern is None or not _is_suspicious(pattern):
        return None
    return {
        "ballots": pattern.batch_ballots,
        "identical": pattern.ballots,
        "group_percent": 100 * pattern.others // max(1, pattern.other_ballots),
    }


def _is_suspicious(pattern: AnswerPattern) -> bool:
    if pattern.ballots < BALLOTS_MIN or pattern.answers < ANSWERS_MIN:
        return False
    share = pattern.ballots / pattern.batch_ballots
    if pattern.other_ballots < REFERENCE_MIN:
        return share >= ALONE
    usual = pattern.others / pattern.other_ballots
    return share - usual >= UNEXPLAINED * (1 - usual) and usual < 1
