"""单选: one of the scheme's options."""

from typing import TYPE_CHECKING, ClassVar

from shared.appraisal.schemes.questions.base import Choice, Question

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme


class SingleChoiceQuestion(Question, frozen=True, kw_only=True, tag="single_choice"):
    """A question answered with one of the scheme's options (满意, 基本满意, …)."""

    kind_label: ClassVar[str] = "单选"
    template: ClassVar[str] = "single_choice"
    scored: ClassVar[bool] = True

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return the scheme's options."""
        return tuple(
            Choice(option.no, option.label, option.points, option.code) for option in scheme.options
        )
