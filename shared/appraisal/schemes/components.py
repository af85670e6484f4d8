"""The components of a score, their formulas, and the adjustments."""

from decimal import Decimal
from typing import Literal

from shared.appraisal.labels import ComplaintKind, Severity
from shared.appraisal.schemes.base import SchemePart, SchemeRule

Absence = Literal["leave_out", "unranked", "full"]
"""What happens to a component without a value: the other components share its weight, the unit is
not ranked, or the component counts 100.
"""


class SatisfactionFormula(
    SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="satisfaction"
):
    """Mean points of the counted answers: items by weight, then groups by weight.

    A group without answers is left out. With fewer than `minimum` counted answers to item 1,
    `below` applies; without any answer, `absent`.
    """

    instruments: tuple[str, ...]
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class Severities(SchemePart, frozen=True, kw_only=True):
    """The factor on a checklist item's amount for each severity of a finding."""

    minor: Decimal
    ordinary: Decimal
    serious: Decimal


class InspectionFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="inspection"):
    """100 less the amounts of the findings times their severity, not below 0.

    `spread`: over all visits of the campaign together ("sum"), or as the mean of the points of the
    single visits ("mean_of_visits").
    """

    instrument: str
    severities: Severities
    spread: Literal["sum", "mean_of_visits"] = "sum"
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class HandlingFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="handling"):
    """How a unit handles its cases: the weighted sum of three measures, each 0–100.

    `accepted_on_time`, `handled_on_time`: share of the cases due or done by now that kept the
    deadline. `rated`: mean points of the complainants' counted answers. A measure without a base
    gives its weight to the others. With fewer than `minimum` cases, `below` applies; without any
    case, `absent`.
    """

    accepted_on_time: Decimal
    handled_on_time: Decimal
    rated: Decimal
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class ScoreSheetFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="scoring"):
    """Mean of a score sheet's points, scaled to 0–100."""

    instrument: str
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


Formula = SatisfactionFormula | InspectionFormula | HandlingFormula | ScoreSheetFormula


class Component(SchemeRule, frozen=True, kw_only=True):
    """A part of the score: `weight` percent of it. The weights of a scheme add up to 100."""

    key: str
    weight: Decimal
    formula: Formula


class Adjustment(SchemeRule, frozen=True, kw_only=True):
    """Points deducted (or, among the bonuses, added) for each event, at most `cap` per campaign.

    `deadline` narrows `deadline_lapsed` to a case stage, `severity` narrows `finding`, `kinds` the
    cases. `decision` means that a person decides and gives evidence. The first `after` events of a
    campaign are free. `of`: "total", or the key of the component to adjust. `evidence`: what the
    ledger line links to.
    """

    event: Literal[
        "deadline_lapsed",
        "case_returned",
        "case_sent_back",
        "finding",
        "obligation_lapsed",
        "decision",
    ]
    amount: Decimal
    evidence: Literal["case", "visit", "obligation", "document"]
    cap: Decimal | None = None
    deadline: str | None = None
    severity: Severity | None = None
    kinds: tuple[ComplaintKind, ...] = ()
    after: int = 0
    of: str = "total"
