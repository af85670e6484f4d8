"""Everything known about one unit that its score is computed from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from services.scoring.domain.arithmetic import exact, sum_of_products
from services.scoring.domain.ledger import LedgerEntry
from shared.appraisal.schemes import Questionnaire, QuestionnaireItem, RespondentGroup, Scheme

AnswerCounts = Mapping[tuple[str, str, int, int], int]
"""Answers about one unit: (instrument, group, item_no, option_no) → number of answers."""


@dataclass(frozen=True)
class ScoreInputs:
    """Answer counts, summed over the shards, and current ledger entries in order of time."""

    scheme: Scheme
    answer_counts: AnswerCounts
    entries: Sequence[LedgerEntry]

    @cached_property
    def points(self) -> tuple[tuple[int, Fraction], ...]:
        """(option number, points) of the options that count."""
        return tuple(
            (option.no, exact(option.points))
            for option in self.scheme.options
            if option.points is not None
        )

    def answers(
        self, questionnaire: Questionnaire, group: RespondentGroup, item: QuestionnaireItem
    ) -> dict[int, int]:
        """Option number → answers of this group to this question."""
        return {
            option.no: self.answer_counts.get((questionnaire.key, group.key, item.no, option.no), 0)
            for option in self.scheme.options
        }

    def of(self, *measures: str) -> list[LedgerEntry]:
        """Ledger entries of these measures."""
        return [entry for entry in self.entries if entry.measure in measures]

    def mean_points(self, answers: Mapping[int, int]) -> tuple[Fraction | None, int]:
        """(mean points of the answers that count, number of those answers)."""
        base = sum(answers[option_no] for option_no, _ in self.points)
        if not base:
            return None, 0
        total = sum_of_products((points, answers[option_no]) for option_no, points in self.points)
        return total / base, base

    @cached_property
    def sample(self) -> int:
        """Answers that count to item 1 over all questionnaires."""
        return self._first_item_answers({option_no for option_no, _ in self.points})

    @property
    def dissatisfied(self) -> int:
        """Answers 不满意 to item 1 over all questionnaires."""
        options = (one for one in self.scheme.options if one.code == "dissatisfied")
        return self._first_item_answers({option.no for option in options})

    def _first_item_answers(self, option_nos: set[int]) -> int:
        return sum(
            count
            for (_, _, item_no, option_no), count in self.answer_counts.items()
            if item_no == 1 and option_no in option_nos
        )


def score_inputs(
    scheme: Scheme, answer_counts: AnswerCounts, entries: Iterable[LedgerEntry]
) -> ScoreInputs:
    """Return a unit's inputs. `entries`: its current ledger entries, in any order."""
    return ScoreInputs(scheme, answer_counts, sorted(entries, key=lambda entry: entry.sort_key))
