"""Signs that ballots were not filled in freely, one module each.

A detector sees counts of one batch of codes and returns the counts that make it suspicious. It only
asks for a decision: two people decide whether the ballots count.
"""

from collections.abc import Callable, Mapping
from typing import Final

from services.intake.domain.integrity.burst import find_burst
from services.intake.domain.integrity.cross_rating import find_cross_rating
from services.intake.domain.integrity.excess import find_excess
from services.intake.domain.integrity.facts import BatchFacts, Evidence
from services.intake.domain.integrity.identical_answers import find_identical_answers
from services.intake.domain.integrity.one_source import find_one_source
from services.intake.domain.integrity.staff_source import find_staff_source
from shared.appraisal.labels import IntegrityKind

DETECTORS: Final[Mapping[IntegrityKind, Callable[[BatchFacts], Evidence | None]]] = {
    IntegrityKind.EXCESS: find_excess,
    IntegrityKind.BURST: find_burst,
    IntegrityKind.IDENTICAL: find_identical_answers,
    IntegrityKind.ONE_SOURCE: find_one_source,
    IntegrityKind.STAFF_SOURCE: find_staff_source,
    IntegrityKind.CROSS_RATING: find_cross_rating,
}


def suspicions(facts: BatchFacts) -> dict[IntegrityKind, Evidence]:
    """Return every kind of suspicion against a batch, with its evidence."""
    found = {kind: detect(facts) for kind, detect in DETECTORS.items()}
    return {kind: evidence for kind, evidence in found.items() if evidence is not None}
