"""Everything known about one unit that its score is computed from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from services.scoring.domain.arithmetic import exact, sum_of_products
from services.scoring.domain.ledger import LedgerEntry
from shared.appraisal.schemes import Option, Questionnaire, RespondentGroup, Scheme
from shared.appraisal.schemes.questions import AnyQuestion, Choice

AnswerKey = tuple[str, str, int, int]
"""(instrument, group, item_no, option_no)."""
AnswerCounts = Mapping[AnswerKey, int]
"""Number of answers about one unit."""
OptionPoints = tuple[tuple[int, Fraction], ...]
"""(option number, points) of the options that count."""


@dataclass(frozen=True)
class ScoreInputs:
    """Answer counts, summed over the shards, and current ledger entries in order of time."""

    scheme: Scheme
    answer_counts: AnswerCounts
    entries: Sequence[LedgerEntry]

    @cached_property
    def points(self) -> OptionPoints:
        """Points of the scheme's own options, which single-choice questions and ratings use."""
        return _points(self.scheme.options)

    @cached_property
    def _points_by_question(self) -> dict[AnyQuestion, OptionPoints]:
        questions = (item for one in self.scheme.questionnaires for item in one.scored_items)
        return {item: _points(item.choices(self.scheme)) for item in questions}

    def answers(
        self,
        questionnaire: Questionnaire,
        group: RespondentGroup,
        item: AnyQuestion,
    ) -> dict[int, int]:
        """Option number → answers of this group to this question."""
        counts = self.answer_counts
        key = questionnaire.key
        offered = self.scheme.offered_choices[key][item.no]
        return {no: counts.get((key, group.key, item.no, no), 0) for no in offered}

    def of(self, *measures: str) -> list[LedgerEntry]:
        """Ledger entries of these measures."""
        return [entry for entry in self.entries if entry.measure in measures]

    def question_mean(
        self, item: AnyQuestion, answers: Mapping[int, int]
    ) -> tuple[Fraction | None, int]:
        """(mean points of the answers to a question, number of answers that count)."""
        return mean_points(self._points_by_question.get(item, ()), answers)

    @cached_property
    def sample(self) -> int:
        """Answers that count to item 1 over all questionnaires."""
        return self._first_item_answers({option_no for option_no, _ in self.points})

    @property
    def dissatisfied(self) -> int:
        """Answers 不满意 to item 1 over all questionnaires."""
        options = (one for one in self.scheme.options if one.code == "dissatisfied")
        return self._first_item_answers({option.no for option in options})

    @property
    def decided(self) -> tuple[str, ...]:
        """Rules that a person decided to apply to this unit."""
        return tuple(sorted({entry.detail for entry in self.of("decision")}))

    def _first_item_answers(self, option_nos: set[int]) -> int:
        return sum(
            count
            for (_, _, item_no, option_no), count in self.answer_counts.items()
            if item_no == 1 and option_no in option_nos
        )


def mean_points(
    option_points: OptionPoints, answers: Mapping[int, int]
) -> tuple[Fraction | None, int]:
    """(mean points of the answers that count, number of those answers)."""
    base = sum(answers[option_no] for option_no, _ in option_points)
    if not base:
        return None, 0
    total = sum_of_products((points, answers[option_no]) for option_no, points in option_points)
    return total / base, base


def _points(options: Iterable[Option | Choice]) -> OptionPoints:
    return tuple(
        (option.no, exact(option.points)) for option in options if option.points is not None
    )


def score_inputs(
    scheme: Scheme,
    answer_counts: AnswerCounts,
    entries: Iterable[LedgerEntry],
) -> ScoreInputs:
    """Return a unit's inputs. `entries`: its current ledger entries, in any order."""
    return ScoreInputs(scheme, answer_counts, sorted(entries, key=lambda entry: entry.sort_key))
