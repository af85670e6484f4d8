"""Checks of components, formulas and adjustments."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from shared.appraisal.labels import CaseStage
from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
from shared.appraisal.schemes.components import (
    Adjustment,
    Component,
    Formula,
    HandlingFormula,
    InspectionFormula,
    SatisfactionFormula,
    ScoreSheetFormula,
    Severities,
)
from shared.appraisal.schemes.instruments import Checklist, Instrument, Questionnaire, ScoreSheet
from shared.appraisal.schemes.scheme import Scheme

HUNDRED: Final = Decimal(100)
WEIGHT_DECIMALS_MAX: Final = 2
INSTRUMENT_NAMES: Final[dict[type[Instrument], str]] = {
    Questionnaire: "问卷（questionnaire）",
    Checklist: "检查表（checklist）",
    ScoreSheet: "评分表（score_sheet）",
}


def check_weights(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Weights of components are positive and add up to 100."""
    for path, component in with_paths("components", scheme.components):
        yield from _weight_violations(f"{path}.weight", component.weight)
    total = sum((component.weight for component in scheme.components), Decimal(0))
    if scheme.components and total != HUNDRED:
        yield "components", f"各项权重合计应为 100，现为 {total}，请调整"


def _weight_violations(path: str, weight: Decimal) -> Iterator[SchemeViolation]:
    if not 0 < weight <= HUNDRED:
        yield path, f"权重应大于 0、不超过 100，现为 {weight}"
    if -int(weight.as_tuple().exponent) > WEIGHT_DECIMALS_MAX:
        yield path, f"权重最多两位小数，现为 {weight}"


def check_formulas(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Formulas refer to instruments of the right kind, and every scored instrument is used."""
    for path, component in with_paths("components", scheme.components):
        yield from _formula_violations(f"{path}.formula", component.formula, scheme)
    yield from _unused_instruments(scheme)


def _unused_instruments(scheme: Scheme) -> Iterator[SchemeViolation]:
    used = {key for component in scheme.components for key in _instrument_keys(component)}
    for path, instrument in with_paths("instruments", scheme.instruments):
        if instrument.key not in used and getattr(instrument, "scored", True):
            sentence = f"没有哪项得分用到“{instrument.key}”，请在 components 中引用或删去"
            yield f"{path}.key", sentence


def _instrument_keys(component: Component) -> tuple[str, ...]:
    match component.formula:
        case SatisfactionFormula(instruments=keys):
            return keys
        case InspectionFormula(instrument=key) | ScoreSheetFormula(instrument=key):
            return (key,)
    return ()


def _formula_violations(
    path: str,
    formula: Formula,
    scheme: Scheme,
) -> Iterator[SchemeViolation]:
    match formula:
        case SatisfactionFormula():
            for at, key in with_paths(f"{path}.instruments", formula.instruments):
                yield from _wrong_kind(Questionnaire, key, scheme, at)
        case InspectionFormula():
            yield from _wrong_kind(Checklist, formula.instrument, scheme, f"{path}.instrument")
            yield from _severity_violations(f"{path}.severities", formula.severities)
        case ScoreSheetFormula():
            yield from _wrong_kind(ScoreSheet, formula.instrument, scheme, f"{path}.instrument")
        case HandlingFormula():
            yield from _measure_violations(path, formula)
    if formula.minimum < 1:
        yield f"{path}.minimum", f"最小样本应不小于 1，现为 {formula.minimum}"


def _wrong_kind(
    kind: type[Instrument],
    key: str,
    scheme: Scheme,
    path: str,
) -> Iterator[SchemeViolation]:
    if not isinstance(scheme.instrument(key), kind):
        name = INSTRUMENT_NAMES[kind]
        yield path, f"没有名为“{key}”的{name}，请改为 instruments 中的 key"


def _severity_violations(path: str, factors: Severities) -> Iterator[SchemeViolation]:
    if not 0 < factors.minor <= factors.ordinary <= factors.serious:
        yield path, "系数应大于 0，且轻微不高于一般、一般不高于严重"


def _measure_violations(path: str, formula: HandlingFormula) -> Iterator[SchemeViolation]:
    weights = (formula.accepted_on_time, formula.handled_on_time, formula.rated)
    if min(weights) < 0 or sum(weights) != HUNDRED:
        yield path, f"按期签收、按期办结、群众评价三项占比合计应为 100，现为 {sum(weights)}"


def check_adjustments(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Deductions and bonuses have usable amounts, targets and events."""
    targets = {"total", *(component.key for component in scheme.components)}
    for path, adjustment in _adjustments(scheme):
        yield from _amount_violations(path, adjustment)
        if adjustment.of not in targets:
            yield f"{path}.of", f"of 应为 total 或某项得分的 key，现为“{adjustment.of}”"
        yield from _event_violations(path, adjustment)


def _adjustments(scheme: Scheme) -> Iterator[tuple[str, Adjustment]]:
    yield from with_paths("deductions", scheme.deductions)
    yield from with_paths("bonuses", scheme.bonuses)


def _amount_violations(path: str, adjustment: Adjustment) -> Iterator[SchemeViolation]:
    amount = adjustment.amount
    if not 0 < amount <= HUNDRED:
        yield f"{path}.amount", f"分值应大于 0、不超过 100（写正数），现为 {amount}"
    if adjustment.cap is not None and adjustment.cap < amount:
        yield f"{path}.cap", f"上限 {adjustment.cap} 低于单次分值 {amount}"


def _event_violations(path: str, adjustment: Adjustment) -> Iterator[SchemeViolation]:
    yield from _deadline_violations(path, adjustment)
    if (adjustment.event == "finding") != (adjustment.severity is not None):
        sentence = "检查发现问题要写明 severity（minor、ordinary 或 serious），其他扣分不写"
        yield f"{path}.event", sentence
    if adjustment.after < 0:
        yield f"{path}.after", "after 不能为负数"


def _deadline_violations(path: str, adjustment: Adjustment) -> Iterator[SchemeViolation]:
    deadline = adjustment.deadline
    if (adjustment.event == "deadline_lapsed") != (deadline is not None):
        yield f"{path}.event", "超期扣分要写明 deadline（哪个环节），其他扣分不写"
    if deadline is not None and deadline not in set(CaseStage):
        sentence = f"没有“{deadline}”这个环节，应为 {_alternatives(CaseStage)}"
        yield f"{path}.deadline", sentence


def _alternatives(codes: type[CaseStage]) -> str:
    *first, last = (code.value for code in codes)
    return f"{'、'.join(first)} 或 {last}"
