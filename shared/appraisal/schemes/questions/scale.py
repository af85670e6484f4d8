"""量表: a number from 1 to `highest`."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from shared.appraisal.schemes.questions.base import Choice, Question

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme

UNKNOWN: Final = Choice(0, "不了解", None, "unknown")
HIGHEST: Final = (5, 10, 100)
"""Scales whose points are whole numbers, so that a mean can be checked by hand."""


class ScaleQuestion(Question, frozen=True, kw_only=True, tag="scale"):
    """A question answered with 1 to `highest`; the points are the answer in percent of `highest`.

    `lowest_label` and `highest_label` explain the ends. With `offers_unknown` a respondent may
    answer 不了解, which is excluded from the mean.
    """

    kind_label: ClassVar[str] = "量表"
    template: ClassVar[str] = "scale"
    scored: ClassVar[bool] = True

    highest: int = 10
    lowest_label: str = "很不满意"
    highest_label: str = "非常满意"
    offers_unknown: bool = True

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return the numbers from 1 to `highest`, then 不了解 if it is offered."""
        points_each = Decimal(100) / self.highest
        numbers = range(1, self.highest + 1)
        steps = tuple(Choice(number, f"{number} 分", number * points_each) for number in numbers)
        return (*steps, UNKNOWN) if self.offers_unknown else steps

    def violations(self, scheme: "Scheme") -> Iterator[tuple[str, str]]:
        """Yield a violation when the points of the scale would not be whole numbers."""
        if self.highest not in HIGHEST:
            offered = "、".join(map(str, HIGHEST))
            yield "highest", f"量表的最高分应为 {offered} 之一，现为 {self.highest}"

    def explain(self, tally: Mapping[int, int], scheme: "Scheme") -> str:
        """Return the mean and the number of answers: `平均 8.4 分（满分 10 分，52 份）`."""
        counted = {number: count for number, count in tally.items() if number != UNKNOWN.no}
        total = sum(counted.values())
        if not total:
            return "没有评分"
        return f"平均 {_mean(counted):.1f} 分（满分 {self.highest} 分，{total} 份）"


def _mean(counts: Mapping[int, int]) -> float:
    points = sum(number * count for number, count in counts.items())
    return points / sum(counts.values())
