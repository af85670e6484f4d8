"""多选: several of the question's own options."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes.base import SchemePart
from shared.appraisal.schemes.questions.base import (
    OPTION_NO_MAX,
    Choice,
    Question,
    check_count,
    has_duplicates,
)

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme


class ListedOption(SchemePart, frozen=True, kw_only=True):
    """An option of one question. Ballots carry its `no`, so a number never changes its meaning."""

    no: int
    label: str


class MultipleChoiceQuestion(Question, frozen=True, kw_only=True, tag="multiple_choice"):
    """A question answered with one to `at_most` of its own options. It enters no score."""

    kind_label: ClassVar[str] = "多选"
    template: ClassVar[str] = "multiple_choice"
    several: ClassVar[bool] = True

    options: tuple[ListedOption, ...]
    at_most: int | None = None

    @property
    def answers_max(self) -> int:
        """The number of options that a respondent may choose."""
        return self.at_most or len(self.options)

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return the question's own options."""
        return tuple(Choice(option.no, option.label) for option in self.options)

    def violations(self, scheme: "Scheme") -> Iterator[tuple[str, str]]:
        """Yield violations of the options and of `at_most`."""
        numbers = [option.no for option in self.options]
        if len(numbers) < 2:
            yield "options", "多选题至少要有两个选项"
        if has_duplicates(numbers):
            yield "options", "选项编号不能重复"
        if any(not 1 <= number <= OPTION_NO_MAX for number in numbers):
            yield "options", f"选项编号应在 1 至 {OPTION_NO_MAX} 之间"
        if self.at_most is not None and not 1 <= self.at_most <= len(numbers):
            yield "at_most", f"最多可选数应在 1 至 {len(numbers)} 之间"

    def check(self, numbers: Sequence[int], scheme: "Scheme") -> None:
        """Raise Rejected (422) unless one to `at_most` different options are chosen."""
        offered = {option.no for option in self.options}
        if not numbers or not offered.issuperset(numbers) or has_duplicates(numbers):
            raise Rejected("请至少选一项", status=422, field="option")
        check_count(numbers, self.answers_max)
