"""Charts as plain numbers for SVG: where each piece begins and how wide it is, in percent of the
whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.scoring.domain.explain import Share
from services.scoring.domain.score import Mark
from shared.appraisal.schemes import Scheme

TONES = ("a", "b", "c", "d", "e", "f", "g")
"""Fills of components, in the order of the scheme; the style sheet of the page says what they look
like.
"""
ANSWERS = {"satisfied": "yes", "fairly_satisfied": "fair", "dissatisfied": "no", "unknown": "none"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar. `label` is what it stands for, with its number."""

    x: Decimal
    width: Decimal
    tone: str
    label: str


def tones(scheme: Scheme) -> dict[str, str]:
    """Component → its fill."""
    return {component.key: TONES[at % len(TONES)] for at, component in enumerate(scheme.components)}


def contributions(scheme: Scheme, components: Sequence[Mark]) -> list[Piece]:
    """What each component brings to the total, on a scale of 0–100."""
    pieces, x, fills = [], Decimal(0), tones(scheme)
    for component in components:
        rule = scheme.component(component.key)
        if component.contribution and rule:
            pieces.append(
                Piece(
                    x,
                    component.contribution,
                    fills[component.key],
                    f"{rule.label} {component.contribution}",
                )
            )
            x += component.contribution
    return pieces


def answers(share: Share) -> list[Piece]:
    """满意, 基本满意, 不满意, 不了解: how a group answered a question; empty when that may not be
    shown.
    """
    numbers = [count.number or 0 for count in share.counts]
    whole, pieces, x = sum(numbers), list[Piece](), Decimal(0)
    for count, number in zip(share.counts, numbers, strict=True):
        if number:
            width = (Decimal(100 * number) / whole).quantize(Decimal("0.01"))
            pieces.append(
                Piece(x, width, ANSWERS.get(count.code, "none"), f"{count.label} {number}")
            )
            x += width
    return pieces
