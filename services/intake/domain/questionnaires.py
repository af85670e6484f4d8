"""The state of a questionnaire that is filled in one question per page."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from shared.appraisal.ballots import Answer
from shared.appraisal.events import UnitEntry
from shared.appraisal.schemes import Questionnaire
from shared.appraisal.schemes.questions import AnyQuestion

ALL_UNITS_MAX: Final = 12
"""A questionnaire about more units asks first which of them the respondent has dealt with."""


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """An answer to a free-text question about a unit."""

    unit_no: int
    item_no: int
    text: str


@dataclass(frozen=True, slots=True)
class UnitQuestion:
    """One page: an item about a unit."""

    unit: UnitEntry
    item: AnyQuestion

    @property
    def key(self) -> str:
        return f"{self.unit.unit_no}-{self.item.no}"


@dataclass(frozen=True, slots=True)
class QuestionnaireForm:
    """A questionnaire with the units and the answers given so far."""

    questionnaire: Questionnaire
    units: Sequence[UnitEntry]
    selected_nos: Collection[int] | None = None
    """Numbers of the units the respondent selected; None before the selection."""
    numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The chosen options by the key of the question."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Answers in words by the key of the question."""

    def with_draft(self, draft: Mapping[str, Any]) -> Self:
        """Return the form with the fields of a saved draft; {} is no draft."""
        return replace(
            self,
            selected_nos=draft.get("units"),
            numbers=draft.get("answers", {}),
            texts=draft.get("texts", {}),
        )

    def to_draft(self) -> dict[str, Any]:
        draft: dict[str, Any] = {"answers": dict(self.numbers), "texts": dict(self.texts)}
        if self.selected_nos is not None:
            draft["units"] = sorted(self.selected_nos)
        return draft

    @property
    def has_unit_selection(self) -> bool:
        """Whether respondents select the units they have dealt with."""
        return self.questionnaire.units == "chosen" or len(self.units) > ALL_UNITS_MAX

    @property
    def needs_unit_selection(self) -> bool:
        return self.has_unit_selection and self.selected_nos is None

    @property
    def selected_units(self) -> list[UnitEntry]:
        """The units asked about, in the order of the register."""
        if self.selected_nos is None:
            return [] if self.has_unit_selection else list(self.units)
        return [unit for unit in self.units if unit.unit_no in self.selected_nos]

    @property
    def questions(self) -> list[UnitQuestion]:
        """All items about the first unit, then about the next."""
        items = self.questionnaire.items
        return [UnitQuestion(unit, item) for unit in self.selected_units for item in items]

    @property
    def answers(self) -> list[Answer]:
        """The answers by number to the questions asked."""
        return [
            (question.unit.unit_no, question.item.no, number)
            for question in self.questions
            for number in self.numbers.get(question.key, ())
        ]

    @property
    def written_answers(self) -> list[WrittenAnswer]:
        """The answers in words to the questions asked; empty ones are left out."""
        return [
            WrittenAnswer(question.unit.unit_no, question.item.no, self.texts[question.key])
            for question in self.questions
            if self.texts.get(question.key)
        ]

    def is_answered(self, question: UnitQuestion) -> bool:
        return question.key in self.numbers or question.key in self.texts

    @property
    def next_place(self) -> int:
        """The number of the first unanswered question, or of the last one."""
        unanswered = (
            place
            for place, question in enumerate(self.questions, 1)
            if not self.is_answered(question)
        )
        return next(unanswered, len(self.questions))

    def select_units(self, unit_nos: Collection[int]) -> Self:
        return replace(self, selected_nos=unit_nos)

    def answer(self, question: UnitQuestion, numbers: Sequence[int]) -> Self:
        return replace(self, numbers={**self.numbers, question.key: list(numbers)})

    def write(self, question: UnitQuestion, text: str) -> Self:
        return replace(self, texts={**self.texts, question.key: text})
