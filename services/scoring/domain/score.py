"""A unit's score: marks of the components, adjustments, total.

Values are exact until the declared roundings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from services.scoring.domain.adjustments import ScoreAdjustment, adjustments, total_for
from services.scoring.domain.arithmetic import (
    ZERO,
    clamped,
    exact,
    largest_remainder,
    rounded,
    weighted_mean,
)
from services.scoring.domain.formulas import evaluate, handled_on_time
from services.scoring.domain.inputs import ScoreInputs
from shared.appraisal.labels import LabelledEnum
from shared.appraisal.schemes import Component, Scheme

FULL_MARK: Final = Decimal(100)


class ComponentState(LabelledEnum):
    """Whether a component counts towards the total."""

    COUNTED = "counted", "计分"
    BELOW = "below", "样本不足，不计入"
    ABSENT = "absent", "尚无数据，不计入"
    FULL = "full", "尚无数据，按满分计"
    UNRANKED = "unranked", "尚无结果，暂不排名"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentScore:
    """One component of a unit's score.

    `raw`: value of the formula. `adjusted`: points off and on for this component. `mark`: their sum
    within 0–100, None when the component does not count. `effective_weight`: percentage of the
    total, after absent components left their weight to the others. `contribution`: as displayed.
    """

    key: str
    weight: Decimal
    effective_weight: Decimal
    state: ComponentState
    raw: Decimal | None
    adjusted: Decimal
    mark: Decimal | None
    contribution: Decimal | None
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitScore:
    """A unit's score. The same events give the same bytes of its JSON.

    `total`: 0–100, None when no component counts. `adjusted`: points off and on for the total.
    `clamped`: what limiting the total to 0–100 added or took. Contributions, `adjusted` and
    `clamped` add up to `total`. `unranked`: why the unit has no rank, "" when it has one. `sample`:
    answers that count to item 1 over all questionnaires. `ties`: value of each tie rule, smaller is
    better. `decided`: rules that a person decided to apply to this unit.
    """

    unit_no: int
    scheme_version: str
    total: Decimal | None
    unranked: str
    disqualified: bool
    sample: int
    components: tuple[ComponentScore, ...]
    adjusted: Decimal
    clamped: Decimal
    ties: tuple[Decimal, ...]
    grade: str | None
    decided: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        return self.total is not None and not self.unranked

    @property
    def marks(self) -> dict[str, Decimal | None]:
        """Component → its mark."""
        return {component.key: component.mark for component in self.components}

    @property
    def contributions(self) -> dict[str, Decimal | None]:
        """Component → what it contributes to the total."""
        return {component.key: component.contribution for component in self.components}

    def component(self, key: str) -> ComponentScore:
        """Return the component of that key. Raises StopIteration for an unknown one."""
        return next(component for component in self.components if component.key == key)


class _Totals(NamedTuple):
    total: Decimal | None
    components: list[ComponentScore]
    adjusted: Decimal
    clamped: Decimal


def score_unit(inputs: ScoreInputs, unit_no: int) -> UnitScore:
    """Return the score of one unit from everything known about it.

    Source: the scheme's components, deductions, bonuses, vetoes, ranking and grades.
    """
    scheme = inputs.scheme
    applied = adjustments(inputs)
    components = [_score_component(inputs, component, applied) for component in scheme.components]
    totals = _total(scheme, _with_effective_weights(components), applied)
    decided = inputs.decided
    disqualified = _is_disqualified(scheme, decided)
    return UnitScore(
        unit_no=unit_no,
        scheme_version=scheme.version,
        total=totals.total,
        disqualified=disqualified,
        sample=inputs.sample,
        components=tuple(totals.components),
        unranked=_reason_unranked(scheme, totals, inputs.sample, disqualified=disqualified),
        adjusted=totals.adjusted,
        clamped=totals.clamped,
        ties=_ties(inputs),
        grade=_grade(scheme, totals.total),
        decided=decided,
    )


# ── components ────────────────────────────────────────────────────────────────────────────────────


def _score_component(
    inputs: ScoreInputs,
    component: Component,
    applied: Sequence[ScoreAdjustment],
) -> ComponentScore:
    decimals = inputs.scheme.ranking.decimals
    value, sample = evaluate(inputs, component)
    state = _state(component, value, sample)
    raw = _raw_mark(state, value, decimals)
    adjusted = total_for(applied, component.key)
    return ComponentScore(
        key=component.key,
        weight=component.weight,
        effective_weight=Decimal(0),
        state=state,
        raw=raw,
        adjusted=adjusted,
        sample=sample,
        mark=_adjusted_mark(raw, adjusted, decimals),
        contribution=None,
    )


def _state(
    component: Component,
    value: Fraction | None,
    sample: int,
) -> ComponentState:
    formula = component.formula
    if value is not None and sample >= formula.minimum:
        return ComponentState.COUNTED
    policy = formula.absent if value is None else formula.below
    if policy != "leave_out":
        return ComponentState(policy)
    return ComponentState.ABSENT if value is None else ComponentState.BELOW


def _raw_mark(
    state: ComponentState,
    value: Fraction | None,
    decimals: int,
) -> Decimal | None:
    if state == ComponentState.FULL:
        return FULL_MARK
    if state == ComponentState.COUNTED and value is not None:
        return rounded(value, decimals)
    return None


def _adjusted_mark(
    raw: Decimal | None,
    adjusted: Decimal,
    decimals: int,
) -> Decimal | None:
    if raw is None:
        return None
    return rounded(clamped(Fraction(raw) + Fraction(adjusted)), decimals)


def _with_effective_weights(components: Sequence[ComponentScore]) -> list[ComponentScore]:
    """Give each component that counts its percentage of the total.

    Components that do not count leave their weight to the others in proportion.
    """
    present = _weight_present(components)
    return [_with_effective_weight(component, present) for component in components]


def _with_effective_weight(component: ComponentScore, present: Fraction) -> ComponentScore:
    if component.mark is None:
        return component
    percentage = Fraction(component.weight) * 100 / present
    return replace(component, effective_weight=rounded(percentage, 2))


def _weight_present(components: Sequence[ComponentScore]) -> Fraction:
    return sum((exact(one.weight) for one in components if one.mark is not None), ZERO)


# ── total ─────────────────────────────────────────────────────────────────────────────────────────


def _total(
    scheme: Scheme,
    components: list[ComponentScore],
    applied: Sequence[ScoreAdjustment],
) -> _Totals:
    """Add up the components and adjustments; the displayed parts add up to the total."""
    decimals = scheme.ranking.decimals
    adjusted = Fraction(total_for(applied, "total"))
    present = _weight_present(components)
    if not present:
        return _Totals(None, components, rounded(adjusted, decimals), Decimal(0))
    parts = [_contribution(component, present) for component in components]
    unlimited = sum(parts, adjusted)
    shown_sum = rounded(unlimited, decimals)
    total = rounded(clamped(unlimited), decimals)
    *shown, shown_adjusted = largest_remainder([*parts, adjusted], shown_sum, decimals)
    contributing = _with_contributions(components, shown)
    return _Totals(total, contributing, shown_adjusted, total - shown_sum)


def _with_contributions(
    components: Sequence[ComponentScore], contributions: Sequence[Decimal]
) -> list[ComponentScore]:
    return [
        component if component.mark is None else replace(component, contribution=contribution)
        for component, contribution in zip(components, contributions, strict=True)
    ]


def _contribution(component: ComponentScore, weight_present: Fraction) -> Fraction:
    if component.mark is None:
        return ZERO
    return Fraction(component.mark) * exact(component.weight) / weight_present


def total_without_adjustments(scheme: Scheme, score: UnitScore) -> Decimal | None:
    """Return what the total would be without deductions and bonuses, None without a total."""
    raw = [(one.weight, Fraction(one.raw)) for one in score.components if one.raw is not None]
    mean = weighted_mean(raw)
    if mean is None or score.total is None:
        return None
    return rounded(mean, scheme.ranking.decimals)


# ── ranking and grade ─────────────────────────────────────────────────────────────────────────────


def _is_disqualified(scheme: Scheme, decided: Sequence[str]) -> bool:
    return any(veto.effect == "disqualified" and veto.id in decided for veto in scheme.vetoes)


def _reason_unranked(
    scheme: Scheme,
    totals: _Totals,
    sample: int,
    *,
    disqualified: bool,
) -> str:
    if disqualified:
        return "一票否决，取消成绩"
    if totals.total is None:
        return "尚无计分数据"
    if missing := _missing_labels(scheme, totals.components):
        return f"{'、'.join(missing)}尚无结果"
    return _reason_small_sample(sample, scheme.ranking.minimum_sample)


def _reason_small_sample(sample: int, minimum: int) -> str:
    return f"样本不足（{sample} 份，至少 {minimum} 份）" if sample < minimum else ""


def _missing_labels(scheme: Scheme, components: Sequence[ComponentScore]) -> list[str]:
    """Return the labels of the components that exclude the unit from the ranking."""
    missing = {one.key for one in components if one.state == ComponentState.UNRANKED}
    return [component.label for component in scheme.components if component.key in missing]


def dissatisfaction_rate(inputs: ScoreInputs) -> Fraction:
    """Return the percentage of 不满意 among the answers that count to item 1, 0 without answers."""
    sample = inputs.sample
    return Fraction(100 * inputs.dissatisfied, sample) if sample else ZERO


def _findings(inputs: ScoreInputs) -> Fraction:
    return Fraction(len(inputs.of("finding")))


def _late_cases(inputs: ScoreInputs) -> Fraction:
    return Fraction(sum(not on_time for on_time in handled_on_time(inputs.entries).values()))


_TIES: Final[Mapping[str, Callable[[ScoreInputs], Fraction]]] = {
    "dissatisfaction_rate": dissatisfaction_rate,
    "findings": _findings,
    "late_cases": _late_cases,
}


def _ties(inputs: ScoreInputs) -> tuple[Decimal, ...]:
    rules = inputs.scheme.ranking.ties
    return tuple(rounded(_TIES[rule](inputs), 6) for rule in rules)


def _grade(scheme: Scheme, total: Decimal | None) -> str | None:
    if total is None:
        return None
    return next((grade.key for grade in scheme.grades if total >= grade.at_least), None)
