"""原因: an entry of the problem catalogue."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes.questions.base import (
    OPTION_NO_MAX,
    Choice,
    Question,
    check_count,
    has_duplicates,
)

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme


class ReasonQuestion(Question, frozen=True, kw_only=True, tag="reason"):
    """A question answered with entries of the problem catalogue, or with none. It enters no score.

    The number of an answer is the place of the entry in the catalogue, counted from 1. `at_most`
    limits how many entries a respondent may name.
    """

    kind_label: ClassVar[str] = "原因"
    template: ClassVar[str] = "reason"
    several: ClassVar[bool] = True

    at_most: int = 3

    @property
    def answers_max(self) -> int:
        """The number of entries that a respondent may name."""
        return self.at_most

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return the entries of the catalogue, in its order."""
        entries = enumerate(scheme.catalogue.entries, start=1)
        return tuple(Choice(place, entry.label, code=entry.id) for place, entry in entries)

    def violations(self, scheme: "Scheme") -> Iterator[tuple[str, str]]:
        """Yield a violation when the catalogue is too long for a ballot."""
        if len(self.choices(scheme)) > OPTION_NO_MAX:
            yield "kind", f"问题目录超过 {OPTION_NO_MAX} 项，不能用作原因题的选项"
        if self.at_most < 1:
            yield "at_most", "最多可选数至少为 1"

    def check(self, numbers: Sequence[int], scheme: "Scheme") -> None:
        """Raise Rejected (422) unless up to `at_most` different entries are named."""
        offered = {choice.no for choice in self.choices(scheme)}
        if not offered.issuperset(numbers) or has_duplicates(numbers):
            raise Rejected("请从问题目录中选择", status=422, field="option")
        check_count(numbers, self.at_most)
