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
    options: Mapping[str, int] = field(default_factory=dict)
    """The chosen option by the key of the question."""

    def with_draft(self, draft: Mapping[str, Any]) -> Self:
        """Return the form with the fields of a saved draft; {} is no draft."""
        return replace(self, selected_nos=draft.get("units"), options=draft.get("answers", {}))

    def to_draft(self) -> dict[str, Any]:
        draft: dict[str, Any] = {"answers": dict(self.options)}
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
        """The answers to the questions asked."""
        return [
            (question.unit.unit_no, question.item.no, self.options[question.key])
            for question in self.questions
            if question.key in self.options
        ]

    @property
    def next_place(self) -> int:
        """The number of the first unanswered question, or of the last one."""
        return min(len(self.answers) + 1, len(self.questions))

    def select_units(self, unit_nos: Collection[int]) -> Self:
        return replace(self, selected_nos=unit_nos)

    def answer(self, question: UnitQuestion, option_no: int) -> Self:
        return replace(self, options={**self.options, question.key: option_no})
