"""When a falling score is worth a notification."""

from decimal import Decimal
from typing import Final

SCORE_FALL: Final = Decimal(5)
"""Points by which a unit's running score must fall before the office is notified."""


def next_baseline(baseline: Decimal | None, total: Decimal) -> tuple[Decimal, bool]:
    """Return the baseline to store, and whether the score fell far enough below the old one.

    The baseline is the highest total since the office was last notified.
    """
    if baseline is None:
        return total, False
    if baseline - total >= SCORE_FALL:
        return total, True
    return max(baseline, total), False
