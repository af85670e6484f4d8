"""The formulas of a scheme's components: satisfaction, inspection, handling, score sheet."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from services.scoring.domain.arithmetic import ZERO, clamped, exact, weighted_mean
from services.scoring.domain.inputs import ScoreInputs, mean_points
from services.scoring.domain.ledger import LedgerEntry
from shared.appraisal.schemes import (
    CheckItem,
    Component,
    HandlingFormula,
    InspectionFormula,
    Questionnaire,
    RespondentGroup,
    SatisfactionFormula,
    Scheme,
    ScoreSheet,
    ScoreSheetFormula,
)

FormulaValue = tuple[Fraction | None, int]
"""Exact value 0–100 (None: no data) and size of the sample."""


def evaluate(inputs: ScoreInputs, component: Component) -> FormulaValue:
    """Return the value of the component's formula."""
    formula = component.formula
    if isinstance(formula, SatisfactionFormula):
        return satisfaction(inputs, formula)
    if isinstance(formula, InspectionFormula):
        return inspection(inputs, formula)
    if isinstance(formula, HandlingFormula):
        return handling(inputs, formula)
    return score_sheet(inputs, formula)


# ── questionnaires ────────────────────────────────────────────────────────────────────────────────


def satisfaction(inputs: ScoreInputs, formula: SatisfactionFormula) -> FormulaValue:
    """Return the mean points of the answers: items by weight, then groups by weight.

    The sample is counted on item 1.
    """
    means, sample = [], 0
    for questionnaire in questionnaires_of(inputs.scheme, formula):
        for group in questionnaire.groups:
            mean, size = _group_satisfaction(inputs, questionnaire, group)
            sample += size
            means.append((group.weight, mean))
    return mean_of_present(means), sample


def mean_of_present(means: Iterable[tuple[Decimal, Fraction | None]]) -> Fraction | None:
    """Return the mean of the (weight, value) pairs that have a value."""
    return weighted_mean([(weight, value) for weight, value in means if value is not None])


def questionnaires_of(scheme: Scheme, formula: SatisfactionFormula) -> list[Questionnaire]:
    """Return the questionnaires whose answers the formula uses."""
    return [one for one in scheme.questionnaires if one.key in formula.instruments]


def _group_satisfaction(
    inputs: ScoreInputs,
    questionnaire: Questionnaire,
    group: RespondentGroup,
) -> FormulaValue:
    means, sample = [], 0
    for item in questionnaire.scored_items:
        mean, base = inputs.question_mean(item, inputs.answers(questionnaire, group, item))
        if item.no == 1:
            sample += base
        means.append((item.weight, mean))
    return mean_of_present(means), sample


# ── inspections ───────────────────────────────────────────────────────────────────────────────────


def inspection(inputs: ScoreInputs, formula: InspectionFormula) -> FormulaValue:
    """Return 100 less the points of the findings.

    `formula.spread` decides: over all visits together, or as the mean of the visits' values.
    """
    points = _points_by_visit(inputs, formula)
    if not points:
        return None, 0
    if formula.spread == "sum":
        return clamped(100 - sum(points.values(), ZERO)), len(points)
    values = [clamped(100 - lost) for lost in points.values()]
    return sum(values, ZERO) / len(points), len(points)


def _points_by_visit(inputs: ScoreInputs, formula: InspectionFormula) -> dict[UUID, Fraction]:
    points = {visit.subject_id: ZERO for visit in visits_of(inputs, formula)}
    for finding in inputs.of("finding"):
        if finding.subject_id in points:
            points[finding.subject_id] += finding_points(inputs.scheme, formula, finding)
    return points


def visits_of(inputs: ScoreInputs, formula: InspectionFormula) -> list[LedgerEntry]:
    """Return the visits that the formula is about."""
    return [visit for visit in inputs.of("visit") if visit.detail == formula.instrument]


def finding_points(
    scheme: Scheme,
    formula: InspectionFormula,
    finding: LedgerEntry,
) -> Fraction:
    """Return the item's amount times the factor of the severity.

    0 for an item that this version of the scheme no longer has.
    """
    item = _check_item(scheme, formula.instrument, finding.item)
    if item is None:
        return ZERO
    return exact(item.amount) * exact(getattr(formula.severities, finding.detail))


def _check_item(
    scheme: Scheme,
    instrument: str,
    item_id: str,
) -> CheckItem | None:
    for checklist in scheme.checklists:
        if checklist.key == instrument:
            return checklist.item(item_id)
    return None


# ── handling ──────────────────────────────────────────────────────────────────────────────────────


def handling(inputs: ScoreInputs, formula: HandlingFormula) -> FormulaValue:
    """Return the weighted mean of three rates: accepted on time, handled on time, ratings.

    The sample is the number of cases.
    """
    accepted = accepted_on_time(inputs.entries)
    handled = handled_on_time(inputs.entries)
    rated, _ = mean_points(inputs.points, rating_counts(inputs))
    rates = (
        (formula.accepted_on_time, percent_on_time(accepted)),
        (formula.handled_on_time, percent_on_time(handled)),
        (formula.rated, rated),
    )
    used = ((weight, rate) for weight, rate in rates if weight > 0)
    return mean_of_present(used), len(accepted.keys() | handled.keys())


def accepted_on_time(entries: Iterable[LedgerEntry]) -> dict[UUID, bool]:
    """Case → accepted (签收) on time, for cases that were accepted or are overdue."""
    return _on_time(entries, "case_accepted", "accept")


def handled_on_time(entries: Iterable[LedgerEntry]) -> dict[UUID, bool]:
    """Case → closed (办结) on time, for cases that were closed or are overdue."""
    return _on_time(entries, "case_closed", "handle")


def _on_time(
    entries: Iterable[LedgerEntry],
    measure: str,
    deadline: str,
) -> dict[UUID, bool]:
    on_time: dict[UUID, bool] = {}
    for entry in entries:
        case_id = entry.subject_id
        if entry.measure == measure:
            on_time[case_id] = on_time.get(case_id, True) and not entry.late
        elif entry.measure == "deadline_lapsed" and entry.detail == deadline:
            on_time[case_id] = False
    return on_time


def percent_on_time(on_time: Mapping[UUID, bool]) -> Fraction | None:
    """Return the percentage of cases that met the deadline, None without cases."""
    return Fraction(100 * sum(on_time.values()), len(on_time)) if on_time else None


def rating_counts(inputs: ScoreInputs) -> dict[int, int]:
    """Option number → complainants who chose it after their case was closed."""
    counts = {option.no: 0 for option in inputs.scheme.options}
    for entry in inputs.of("rated"):
        if entry.option_no in counts:
            counts[entry.option_no] += 1
    return counts


# ── score sheets ──────────────────────────────────────────────────────────────────────────────────


def score_sheet(inputs: ScoreInputs, formula: ScoreSheetFormula) -> FormulaValue:
    """Return the mean of the points given, items by weight, scaled to 0–100.

    The sample is the number of sheets.
    """
    sheet = find_sheet(inputs.scheme, formula)
    given = points_by_item(inputs, formula)
    items = (item for item in sheet.items if str(item.no) in given)
    mean = weighted_mean([(item.weight, mean_of(given[str(item.no)])) for item in items])
    value = None if mean is None else mean * 100 / exact(sheet.maximum)
    sheets = {entry.subject_id for entry in _sheet_entries(inputs, formula)}
    return value, len(sheets)


def _sheet_entries(inputs: ScoreInputs, formula: ScoreSheetFormula) -> list[LedgerEntry]:
    return [entry for entry in inputs.of("sheet") if entry.detail == formula.instrument]


def find_sheet(scheme: Scheme, formula: ScoreSheetFormula) -> ScoreSheet:
    """Return the formula's sheet; a checked scheme has it."""
    instrument = scheme.instrument(formula.instrument)
    assert isinstance(instrument, ScoreSheet), "a checked scheme has the sheet of its formula"
    return instrument


def points_by_item(inputs: ScoreInputs, formula: ScoreSheetFormula) -> dict[str, list[Fraction]]:
    """Item number → points given for it."""
    given: dict[str, list[Fraction]] = {}
    for entry in _sheet_entries(inputs, formula):
        if entry.points is not None:
            given.setdefault(entry.item, []).append(exact(entry.points))
    return given


def mean_of(points: list[Fraction]) -> Fraction:
    """Return the mean of at least one number."""
    return sum(points, ZERO) / len(points)
