"""More ballots than were issued or expected: copied questionnaires, or rows put into the table."""

from services.intake.domain.integrity.facts import BatchFacts, Evidence


def find_excess(facts: BatchFacts) -> Evidence | None:
    """Return evidence if a batch has more ballots than codes, or its place more than expected."""
    if facts.expected is None or facts.ballots <= facts.expected:
        return None
    return {"ballots": facts.ballots, "expected": facts.expected}
