"""Charts as numbers for SVG: start and width of each segment, in percent of the whole."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from services.scoring.domain.breakdown_rows import ComponentBreakdown
from services.scoring.domain.score import ComponentScore
from shared.appraisal.schemes import Scheme

TONES: Final = ("a", "b", "c", "d", "e", "f", "g")
"""CSS classes of components, in the order of the scheme."""
ANSWER_TONES: Final = {
    "satisfied": "yes",
    "fairly_satisfied": "fair",
    "dissatisfied": "no",
    "unknown": "none",
}


@dataclass(frozen=True, slots=True)
class BarSegment:
    """A segment of a bar. `label`: what it stands for, with its number."""

    x: Decimal
    width: Decimal
    tone: str
    label: str


@dataclass(frozen=True, slots=True)
class LegendEntry:
    tone: str
    label: str


def component_tones(scheme: Scheme) -> dict[str, str]:
    """Component → its CSS class."""
    return {component.key: TONES[at % len(TONES)] for at, component in enumerate(scheme.components)}


def contribution_bar(scheme: Scheme, components: Sequence[ComponentScore]) -> list[BarSegment]:
    """Return what each component contributes to the total, on a scale of 0–100."""
    tones = component_tones(scheme)
    segments: list[BarSegment] = []
    x = Decimal(0)
    for component in components:
        rule = scheme.component(component.key)
        width = component.contribution
        if width and rule:
            label = f"{rule.label} {width}"
            segments.append(BarSegment(x, width, tones[component.key], label))
            x += width
    return segments


def legend(segments: Iterable[BarSegment]) -> list[LegendEntry]:
    """Return the legend of a bar."""
    return [LegendEntry(segment.tone, segment.label) for segment in segments]


def component_legend(scheme: Scheme) -> list[LegendEntry]:
    """Return the legend of all contribution bars of a scheme."""
    tones = component_tones(scheme)
    return [LegendEntry(tones[component.key], component.label) for component in scheme.components]


def answer_bar(row: ComponentBreakdown) -> list[BarSegment]:
    """Return how a group answered a question; empty when that may not be shown."""
    total = sum(count.number or 0 for count in row.counts)
    segments: list[BarSegment] = []
    x = Decimal(0)
    for count in row.counts:
        if count.number:
            width = _percentage(count.number, total)
            tone = ANSWER_TONES.get(count.code, "none")
            segments.append(BarSegment(x, width, tone, f"{count.label} {count.number}"))
            x += width
    return segments


def _percentage(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.01"))
