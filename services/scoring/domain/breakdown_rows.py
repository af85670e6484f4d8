"""Rows of a breakdown: counts, the formula with its numbers, and what small samples hide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from services.scoring.domain.wording import plain
from shared.appraisal.labels import Severity
from shared.appraisal.schemes import (
    Option,
    Scheme,
)
from shared.appraisal.schemes.questions import Choice

SMALL_SAMPLE: Final = "样本不足"
LONG_SCALE: Final = 6
"""The formula of a question with this many choices leaves out those that nobody chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakdownCount:
    """A count, and the points for each (None: not counted). `number` None: too few to be shown."""

    label: str
    code: str
    number: int | None
    points: Decimal | None

    @property
    def finding_text(self) -> str:
        """A finding in words: its item, its severity, the points it costs."""
        points = plain(-self.points) if self.points is not None else ""
        return f"{self.label}（{Severity(self.code).label}）−{points}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentBreakdown:
    """One row of a breakdown: a question to a group, a visit, a rate, an item of a sheet.

    `weight`: against the other rows of the same `group`. `group_weight`: of the group against the
    others. `base`: what the mark is the mean over, None when too small to be shown. `mark`: rounded
    for display; the component's mark comes from the exact values. `formula`: with its numbers in
    it, "" when there is nothing to compute.
    """

    key: str
    label: str
    weight: Decimal
    base: int | None
    mark: Decimal | None
    counts: tuple[BreakdownCount, ...]
    formula: str
    group: str = ""
    group_weight: Decimal = Decimal(1)
    note: str = ""

    @property
    def weight_text(self) -> str:
        return plain(self.weight)

    @property
    def group_weight_text(self) -> str:
        return plain(self.group_weight)

    @property
    def has_data(self) -> bool:
        """Whether anything was counted, even if too few to be shown."""
        return self.base != 0 or any(count.number for count in self.counts)


def option_counts(
    choices: Iterable[Choice | Option], counts: Mapping[int, int]
) -> tuple[BreakdownCount, ...]:
    return tuple(_option_count(choice, counts[choice.no]) for choice in choices)


def hide_if_small(
    scheme: Scheme,
    row: ComponentBreakdown,
    counts: Mapping[int, int],
) -> ComponentBreakdown:
    """Remove every number from a row of too few answers."""
    if not 0 < sum(counts.values()) < scheme.publication.small_group:
        return row
    return hide(row)


def hide(row: ComponentBreakdown) -> ComponentBreakdown:
    """Return a row without its numbers."""
    hidden = tuple(replace(count, number=None) for count in row.counts)
    return replace(
        row,
        base=None,
        mark=None,
        formula="",
        note=SMALL_SAMPLE,
        counts=hidden,
    )


def mean_formula(
    choices: Sequence[Choice | Option],
    counts: Mapping[int, int],
    base: int,
    mark: Decimal | None,
) -> str:
    """`(满意 301×100 + 基本满意 78×80 + 不满意 33×0) ÷ 412 = 88.20（不了解 47 份不计入）`."""
    terms = " + ".join(_terms(choices, counts))
    formula = f"({terms}) ÷ {base} = {mark}"
    ignored = "、".join(_ignored(choices, counts))
    return f"{formula}（{ignored}不计入）" if ignored else formula


def _ignored(choices: Iterable[Choice | Option], counts: Mapping[int, int]) -> Iterator[str]:
    """Yield `不了解 47 份` for each choice without points that anybody chose."""
    for choice in choices:
        if choice.points is None and counts[choice.no]:
            yield f"{choice.label} {counts[choice.no]} 份"


def _option_count(choice: Choice | Option, number: int) -> BreakdownCount:
    return BreakdownCount(
        label=choice.label,
        code=choice.code,
        number=number,
        points=choice.points,
    )


def _terms(choices: Sequence[Choice | Option], counts: Mapping[int, int]) -> Iterator[str]:
    """Yield `满意 301×100` for each choice that counts."""
    for choice in choices:
        number = counts[choice.no]
        if choice.points is not None and (number or len(choices) < LONG_SCALE):
            yield f"{choice.label} {number}×{plain(choice.points)}"
