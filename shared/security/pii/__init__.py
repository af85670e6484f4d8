"""Detection of personal data in free text.

    hits = find_pii(text, known_values)          # offsets of the given text
    hits = await find_pii_async(text)            # the same, off the event loop
    draft = mask_pii(text)                       # `［手机号码］` in place of each hit

The check fails closed: a text that is too long or that makes a rule fail is a hit of the kind
UNCHECKED. A hit that may be harmless is TO_CHECK: a person decides. docs/pii-detection.md publishes
what is found and missed.
"""

from shared.security.pii.hits import Certainty, PiiHit, PiiKind
from shared.security.pii.search import (
    CHECKED_LENGTH_MAX,
    certain_hits,
    find_pii,
    find_pii_async,
    mask_pii,
    mask_pii_async,
)

__all__ = [
    "CHECKED_LENGTH_MAX",
    "Certainty",
    "PiiHit",
    "PiiKind",
    "certain_hits",
    "find_pii",
    "find_pii_async",
    "mask_pii",
    "mask_pii_async",
]
