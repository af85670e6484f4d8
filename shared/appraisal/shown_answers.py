"""What may be shown of the answers to one question: counts and the mean, by `small_cells`."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from shared.appraisal.schemes.questions import Choice
from shared.appraisal.small_cells import STEP, shown_cells


def shown_answers(choices: Sequence[Choice], counts: Counter[int]) -> dict[int, int | None]:
    """Return the answers with each choice, by its number; None for those that are hidden."""
    return shown_cells({choice.no: counts[choice.no] for choice in choices})


def shown_mean(choices: Sequence[Choice], counts: Counter[int]) -> Decimal | None:
    """Return the mean points to one decimal place, None of fewer than `STEP` answers."""
    scored = [(one.points, counts[one.no]) for one in choices if one.points is not None]
    answers = sum(count for _, count in scored)
    if answers < STEP:
        return None
    total = sum((points * count for points, count in scored), Decimal(0))
    return (total / answers).quantize(Decimal("0.1"))
