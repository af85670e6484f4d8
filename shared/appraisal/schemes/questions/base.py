"""What all kinds of questions have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes.base import SchemePart

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme

OPTION_NO_MAX = 255
"""A ballot stores an answer's number in one byte."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer that a respondent can give: its number on ballots, its words, its points.

    `points` are 0–100; None is excluded from rates and averages.
    """

    no: int
    label: str
    points: Decimal | None = None
    code: str = ""

    @property
    def counts(self) -> bool:
        """Whether the answer is part of the base of rates and averages."""
        return self.points is not None


class Question(SchemePart, frozen=True, kw_only=True, tag_field="kind"):
    """A question about each unit. Question 1 is the overall one; samples are counted on it.

    `weight` is its share among the scored questions of the questionnaire.
    """

    kind_label: ClassVar[str]
    """The kind as pages name it."""
    template: ClassVar[str]
    """Name of the template fragments that render it (`questions/<template>.html`)."""
    scored: ClassVar[bool] = False
    """Whether its answers enter the score."""
    several: ClassVar[bool] = False
    """Whether a respondent may give more than one answer."""
    written: ClassVar[bool] = False
    """Whether it is answered in the respondent's own words instead of by number."""

    no: int
    label: str
    weight: Decimal = Decimal(1)
    ours: bool = False

    @property
    def answers_max(self) -> int:
        """The number of answers that a respondent may give about one unit."""
        return 1

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return the answers that a ballot may carry, in the order in which they are shown."""
        raise NotImplementedError

    def violations(self, scheme: "Scheme") -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for every mistake in the question."""
        yield from ()

    def read(self, entered: Sequence[str], scheme: "Scheme") -> tuple[int, ...]:
        """Return the answers that a respondent entered, as numbers.

        Raises Rejected (422) with what to do when they are not an answer to this question.
        """
        numbers = tuple(int(text) for text in entered if text.isdecimal())
        self.check(numbers, scheme)
        return numbers

    def check(self, numbers: Sequence[int], scheme: "Scheme") -> None:
        """Raise Rejected (422) unless `numbers` are one complete answer to this question."""
        offered = {choice.no for choice in self.choices(scheme)}
        if len(numbers) != 1 or numbers[0] not in offered:
            raise Rejected("请选一项；没有接触过可以选“不了解”", status=422, field="option")

    def explain(self, tally: Mapping[int, int], scheme: "Scheme") -> str:
        """Return the tally in words: `满意 301，基本满意 78`."""
        chosen = [choice for choice in self.choices(scheme) if tally.get(choice.no)]
        return "，".join(f"{choice.label} {tally[choice.no]}" for choice in chosen)


def has_duplicates(numbers: Sequence[int]) -> bool:
    """Return whether a number occurs more than once."""
    return len(set(numbers)) < len(numbers)


def check_count(numbers: Sequence[int], at_most: int) -> None:
    """Raise Rejected (422) if more than `at_most` answers are given."""
    if len(numbers) > at_most:
        raise Rejected(f"最多可以选 {at_most} 项", status=422, field="option")
