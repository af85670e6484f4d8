"""Questionnaires, checklists and score sheets."""

from decimal import Decimal
from typing import Literal

from shared.appraisal.schemes.base import SchemePart
from shared.appraisal.schemes.questions import AnyQuestion


class Option(SchemePart, frozen=True, kw_only=True):
    """An answer to a question. Ballots carry its `no`.

    `points` are 0–100; None (不了解) is excluded from rates and averages. With `asks_reason`, the
    questionnaire offers reasons from the problem catalogue.
    """

    no: int
    code: str
    label: str
    points: Decimal | None
    asks_reason: bool = False
    ours: bool = False

    @property
    def counts(self) -> bool:
        """Whether the answer is part of the base of rates and averages."""
        return self.points is not None


class RespondentGroup(SchemePart, frozen=True, kw_only=True):
    """评议主体: a group of respondents.

    `weight` is its share among the groups of the instrument, `quota` the number of ballots planned.
    """

    key: str
    label: str
    weight: Decimal = Decimal(1)
    quota: int | None = None
    ours: bool = False


class ScoreSheetItem(SchemePart, frozen=True, kw_only=True):
    """A line of a score sheet."""

    no: int
    label: str
    weight: Decimal = Decimal(1)
    ours: bool = False


class Questionnaire(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="questionnaire"):
    """测评问卷. Each question has a kind with its own options.

    `units`: respondents answer about all units, or about those they choose. A questionnaire that
    is not `scored` collects opinions and enters no component. `quota`: ballots planned in total.
    """

    key: str
    label: str
    groups: tuple[RespondentGroup, ...]
    items: tuple[AnyQuestion, ...]
    units: Literal["all", "chosen"] = "all"
    units_note: str = ""
    scored: bool = True
    quota: int | None = None
    stages: tuple[str, ...] = ()
    ours: bool = False

    def group(self, key: str) -> RespondentGroup | None:
        """Return the respondent group with that key."""
        return next((group for group in self.groups if group.key == key), None)

    def item(self, no: int) -> AnyQuestion | None:
        """Return the question with that number."""
        return next((item for item in self.items if item.no == no), None)

    @property
    def items_with_several_answers(self) -> frozenset[int]:
        """The numbers of the questions that a respondent may answer more than once."""
        return frozenset(item.no for item in self.items if item.several)

    @property
    def scored_items(self) -> tuple[AnyQuestion, ...]:
        """The questions whose answers enter the score."""
        return tuple(item for item in self.items if item.scored)


class CheckItem(SchemePart, frozen=True, kw_only=True):
    """检查项目. `amount` is deducted for an ordinary finding, filed under `problem`."""

    no: int
    id: str
    label: str
    amount: Decimal
    problem: str
    ours: bool = False


class Checklist(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="checklist"):
    """明察暗访检查表.

    `shows_visit_day`: a unit is shown the day of the visit, otherwise the day of its hand-over.
    """

    key: str
    label: str
    items: tuple[CheckItem, ...]
    stages: tuple[str, ...] = ()
    shows_visit_day: bool = False
    ours: bool = False

    def item(self, id: str) -> CheckItem | None:
        """Return the checklist item with that id."""
        return next((item for item in self.items if item.id == id), None)


class ScoreSheet(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="score_sheet"):
    """评分表: the group named in `by` gives each unit 0 to `maximum` points per item."""

    key: str
    label: str
    by: str
    items: tuple[ScoreSheetItem, ...]
    maximum: Decimal = Decimal(100)
    stages: tuple[str, ...] = ()
    ours: bool = False


Instrument = Questionnaire | Checklist | ScoreSheet
