"""文字意见: the respondent's own words."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes.questions.base import Choice, Question

if TYPE_CHECKING:
    from shared.appraisal.schemes.scheme import Scheme

LENGTH_MAX: Final = 2_000


class FreeTextQuestion(Question, frozen=True, kw_only=True, tag="free_text"):
    """A question answered in words, or left empty. The text is never scored and never published.

    The office reads it; texts that contain personal data are rejected when they are entered.
    `length_max` is counted in characters.
    """

    kind_label: ClassVar[str] = "文字意见"
    template: ClassVar[str] = "free_text"
    written: ClassVar[bool] = True

    length_max: int = 500

    @property
    def answers_max(self) -> int:
        """Zero: a ballot carries no number for a text."""
        return 0

    def choices(self, scheme: "Scheme") -> tuple[Choice, ...]:
        """Return no choices: ballots carry no number for a text."""
        return ()

    def violations(self, scheme: "Scheme") -> Iterator[tuple[str, str]]:
        """Yield a violation when the length is out of bounds."""
        if not 1 <= self.length_max <= LENGTH_MAX:
            yield "length_max", f"字数上限应在 1 至 {LENGTH_MAX} 之间，现为 {self.length_max}"

    def check(self, numbers: Sequence[int], scheme: "Scheme") -> None:
        """Raise Rejected (422) when a number is given."""
        if numbers:
            raise Rejected("这一题请用文字回答", status=422, field="option")

    def read_text(self, entered: str) -> str:
        """Return the text without surrounding white space. Raises Rejected (422) if too long."""
        text = entered.strip()
        if len(text) > self.length_max:
            sentence = f"最多 {self.length_max} 字，现有 {len(text)} 字，请删减后再提交"
            raise Rejected(sentence, status=422, field="text")
        return text
