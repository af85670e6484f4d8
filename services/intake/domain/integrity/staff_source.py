"""Ballots from devices where staff signed in.

No telephone number stands beside a code, so whether a code was sent to a member of staff is not
known. What is known is the source of a sign-in, and the source of a ballot.
"""

from typing import Final

from services.intake.domain.integrity.facts import BatchFacts, Evidence

BALLOTS_MIN: Final = 20
SHARE: Final = 0.3


def find_staff_source(facts: BatchFacts) -> Evidence | None:
    """Return evidence if a good part of a batch came from devices of staff."""
    from_staff = sum(facts.recent.by_staff.values())
    if from_staff < BALLOTS_MIN or from_staff < SHARE * facts.ballots:
        return None
    return {"from_staff": from_staff, "ballots": facts.ballots}
