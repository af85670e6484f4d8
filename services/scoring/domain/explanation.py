"""The explanation of a score: every component with its breakdown, every adjustment."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from services.scoring.domain.adjustments import ScoreAdjustment, adjustments
from services.scoring.domain.breakdown import break_down
from services.scoring.domain.breakdown_rows import ComponentBreakdown, hide
from services.scoring.domain.inputs import ScoreInputs
from services.scoring.domain.score import (
    ComponentScore,
    ComponentState,
    UnitScore,
    score_unit,
    total_without_adjustments,
)
from shared.appraisal.schemes import Component, Formula, InspectionFormula
from shared.appraisal.small_cells import shown_cells, stepped
from shared.foundation.grouping import group_by

_RULES: Final[Mapping[str, str]] = {
    "satisfaction": "各题按题目权重、各主体按主体权重加权平均，不了解不计入",
    "handling": ("按期签收、按期办结、来件人评价三项按占比加权平均，没有基数的一项让出占比"),
    "scoring": "各项评分取平均，按权重加权，折成百分",
}
_INSPECTION_RULES: Final[Mapping[str, str]] = {
    "sum": "100 减去各次检查扣分之和，不低于 0",
    "mean_of_visits": "每次检查 100 减扣分（不低于 0），各次取平均",
}
_SAMPLE_UNITS: Final[Mapping[str, str]] = {
    "satisfaction": "份有效评价",
    "inspection": "次检查",
    "handling": "件",
    "scoring": "份评分",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentExplanation:
    """A component with its breakdown. `rule`: how the breakdown becomes the mark, in a sentence."""

    key: str
    label: str
    rule_id: str
    kind: str
    state: str
    rule: str
    minimum: int
    score: ComponentScore
    breakdown: tuple[ComponentBreakdown, ...]

    @property
    def sample_text(self) -> str:
        """The size of the sample with its unit, such as `412 份有效评价`."""
        return f"{self.score.sample} {_SAMPLE_UNITS[self.kind]}"

    @property
    def state_text(self) -> str:
        """Why the component does not count, "" when it does."""
        if self.score.state == ComponentState.COUNTED:
            return ""
        if self.score.state == ComponentState.BELOW:
            return f"{self.state}（至少 {self.minimum}）"
        return self.state

    @property
    def groups(self) -> dict[str, list[ComponentBreakdown]]:
        """Response group → its rows of the breakdown."""
        groups = group_by(self.breakdown, lambda row: row.group)
        return {group: groups[group] for group in sorted(groups)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A score and everything it comes from. The same inputs give the same bytes of its JSON."""

    score: UnitScore
    scheme_version: str
    fingerprint: str
    components: tuple[ComponentExplanation, ...]
    adjustments: tuple[ScoreAdjustment, ...]
    total_without_adjustments: Decimal | None


def explain(inputs: ScoreInputs, score: UnitScore) -> Explanation:
    """Explain a score. `score` is `score_unit` of the same inputs."""
    scheme = inputs.scheme
    components = (
        _explain_component(inputs, component, score.component(component.key))
        for component in scheme.components
    )
    return Explanation(
        score=score,
        scheme_version=scheme.version,
        fingerprint=scheme.fingerprint,
        components=tuple(components),
        adjustments=tuple(adjustments(inputs)),
        total_without_adjustments=total_without_adjustments(scheme, score),
    )


def explain_unit(inputs: ScoreInputs, unit_no: int) -> Explanation:
    """Score a unit and explain the score."""
    return explain(inputs, score_unit(inputs, unit_no))


def _explain_component(
    inputs: ScoreInputs,
    component: Component,
    score: ComponentScore,
) -> ComponentExplanation:
    formula = component.formula
    return ComponentExplanation(
        key=component.key,
        label=component.label,
        rule_id=component.id,
        kind=formula_kind(formula),
        rule=_rule_text(formula),
        state=score.state.label,
        minimum=formula.minimum,
        score=score,
        breakdown=tuple(break_down(inputs, formula)),
    )


def formula_kind(formula: Formula) -> str:
    """Return the formula's kind, as the scheme writes it."""
    return str(formula.__struct_config__.tag)


def _rule_text(formula: Formula) -> str:
    if isinstance(formula, InspectionFormula):
        return _INSPECTION_RULES[formula.spread]
    return _RULES[formula_kind(formula)]


_COUNTED_KINDS: Final = ("satisfaction", "handling")
"""Formulas whose breakdown counts ballots or ratings."""
_RATES: Final = ("accepted_on_time", "handled_on_time")
"""Rows that count cases."""


# ── for the unit itself ───────────────────────────────────────────────────────────────────────────


def redact_for_unit(explanation: Explanation) -> Explanation:
    """Remove what the unit may not see: numbers of visits and cases, times, finding texts, and
    counts of ballots from whose difference the answers of a few could be seen.
    """
    return replace(
        explanation,
        score=_redact_score(explanation),
        adjustments=tuple(_redact_adjustment(one) for one in explanation.adjustments),
        components=tuple(_redact_component(one) for one in explanation.components),
    )


def _redact_adjustment(adjustment: ScoreAdjustment) -> ScoreAdjustment:
    return replace(adjustment, number="", text="", occurred_at=adjustment.occurred_at[:10])


def _redact_score(explanation: Explanation) -> UnitScore:
    score = explanation.score
    redacted = {one.key: _redact_component(one).score for one in explanation.components}
    # Values of tie rules are counts of single answers, and so is the number in the reason.
    reason, _, _ = score.unranked.partition("（")
    return replace(
        score,
        sample=stepped(score.sample),
        unranked=reason,
        ties=(),
        components=tuple(redacted.get(one.key, one) for one in score.components),
    )


def _redact_component(component: ComponentExplanation) -> ComponentExplanation:
    if component.kind in _COUNTED_KINDS:
        rows = tuple(_redact_answers(row) for row in component.breakdown)
        sample = component.score.sample
        if component.kind == "satisfaction":
            sample = stepped(sample)
        return replace(component, score=replace(component.score, sample=sample), breakdown=rows)
    if component.kind != "inspection":
        return component
    # Only 明察 or 暗访 remains of a visit's label.
    breakdown = (replace(visit, label=visit.label[-3:-1]) for visit in component.breakdown)
    return replace(component, breakdown=tuple(breakdown))


def _redact_answers(row: ComponentBreakdown) -> ComponentBreakdown:
    """Return a row with its counts in steps; rows that count cases stay as they are."""
    numbers = {count.code: count.number for count in row.counts}
    if row.key in _RATES or None in numbers.values():
        return row
    shown = shown_cells({code: number or 0 for code, number in numbers.items()})
    if row.base and all(number is None for number in shown.values()):
        return hide(row)
    # The base is a part of the total: beside hidden cells it would narrow them down.
    is_partial = row.base is None or None in shown.values()
    return replace(
        row,
        base=None if is_partial else stepped(row.base or 0),
        counts=tuple(replace(count, number=shown[count.code]) for count in row.counts),
        formula="",
    )
