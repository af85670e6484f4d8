"""Ranking, grades, consequences and publication."""

from decimal import Decimal
from typing import Literal

from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.schemes.base import SchemeRule
from shared.appraisal.schemes.case_rules import Reason
from shared.appraisal.small_cells import STEP


class Ranking(SchemeRule, frozen=True, kw_only=True):
    """排名 within a category: by total, highest first, then by `ties` in order.

    Units that are still equal share a rank. A unit with fewer than `minimum_sample` counted
    answers to item 1 has points but no rank. Totals are rounded to `decimals` digits (half even)
    before they are compared.
    """

    ties: tuple[Literal["dissatisfaction_rate", "findings", "late_cases"], ...]
    minimum_sample: int
    decimals: int = 2


class Grade(SchemeRule, frozen=True, kw_only=True):
    """等次 for `at_least` points. A scheme lists its grades from best to worst, the last from 0."""

    key: str
    at_least: Decimal


class Award(SchemeRule, frozen=True, kw_only=True):
    """先进单位: the first `first` units of a category."""

    category: str
    first: int


class Consequence(SchemeRule, frozen=True, kw_only=True):
    """后果 for the `last` units of each category, or the units of a `grade`.

    Applies after `years` campaigns in a row. Without `last` and `grade` a person decides
    (`by_decision`) and gives evidence.
    """

    measure: str
    last: int | None = None
    grade: str | None = None
    years: int = 1
    by_decision: bool = False


class Veto(SchemeRule, frozen=True, kw_only=True):
    """一票否决: a decided fact that disqualifies a unit or denies it awards or the best grade."""

    effect: Literal["disqualified", "no_award", "not_best_grade"]
    measure: str


class PenaltyStep(SchemeRule, frozen=True, kw_only=True):
    """The measure against a person at the `times`-th substantiated complaint in a year."""

    times: int
    measure: str


class Publication(SchemeRule, frozen=True, kw_only=True):
    """审定与公布. `approver` is a role; `uses` names where results go.

    Groups with fewer than `small_group` answers are never shown; it is at least ten.
    """

    approved_by: str
    approver: str
    scopes: tuple[Reason, ...]
    uses: tuple[str, ...]
    appeal: TimeLimit
    appeal_decision: TimeLimit
    small_group: int = STEP
