"""The breakdown of a component's mark, with formulas that a person can recompute.

Response groups under the scheme's `publication.small_group` are never shown alone. They are merged
with each other and with the next smallest group until the sum is large enough, so that no
difference of two shown numbers reveals them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from services.scoring.domain.arithmetic import exact, rounded
from services.scoring.domain.breakdown_rows import (
    BreakdownCount,
    ComponentBreakdown,
    hide_if_small,
    mean_formula,
    option_counts,
)
from services.scoring.domain.formulas import (
    accepted_on_time,
    find_sheet,
    finding_points,
    handled_on_time,
    mean_of,
    mean_of_present,
    percent_on_time,
    points_by_item,
    questionnaires_of,
    rating_counts,
    visits_of,
)
from services.scoring.domain.inputs import ScoreInputs, mean_points
from services.scoring.domain.ledger import LedgerEntry
from services.scoring.domain.wording import plain
from shared.appraisal.calendar.working_days import SHANGHAI
from shared.appraisal.labels import VisitMode
from shared.appraisal.schemes import (
    Formula,
    HandlingFormula,
    InspectionFormula,
    Questionnaire,
    RespondentGroup,
    SatisfactionFormula,
    Scheme,
    ScoreSheet,
    ScoreSheetFormula,
    ScoreSheetItem,
)
from shared.appraisal.schemes.questions import AnyQuestion


def break_down(inputs: ScoreInputs, formula: Formula) -> list[ComponentBreakdown]:
    """Return the breakdown of a component with this formula."""
    if isinstance(formula, SatisfactionFormula):
        return _break_down_answers(inputs, formula)
    if isinstance(formula, InspectionFormula):
        return _break_down_visits(inputs, formula)
    if isinstance(formula, HandlingFormula):
        return _break_down_handling(inputs, formula)
    return _break_down_sheet(inputs, formula)


# ── questionnaires ────────────────────────────────────────────────────────────────────────────────


def _break_down_answers(
    inputs: ScoreInputs, formula: SatisfactionFormula
) -> list[ComponentBreakdown]:
    questionnaires = questionnaires_of(inputs.scheme, formula)
    rows = (row for one in questionnaires for row in _questionnaire_rows(inputs, one))
    return [row for row in rows if row.has_data]


def _questionnaire_rows(
    inputs: ScoreInputs, questionnaire: Questionnaire
) -> Iterator[ComponentBreakdown]:
    """Yield a row for each question to each group that is large enough; small groups are merged."""
    small = _small_groups(inputs, questionnaire)
    merged = [group for group in questionnaire.groups if group.key in small]
    shown = [[group] for group in questionnaire.groups if group.key not in small]
    for groups in filter(None, (*shown, merged)):
        for item in questionnaire.items:
            yield _question_row(inputs, questionnaire, groups, item)


def _small_groups(inputs: ScoreInputs, questionnaire: Questionnaire) -> set[str]:
    """Return the groups to merge: those with too few answers, and the next smallest ones.

    Groups are added until they are large enough together.
    """
    sizes = ((group_size(inputs, questionnaire, one), one.key) for one in questionnaire.groups)
    answered = sorted((size, key) for size, key in sizes if size)
    return _too_small(answered, inputs.scheme.publication.small_group)


def _too_small(sizes: Iterable[tuple[int, str]], limit: int) -> set[str]:
    """Return the first of the (size, group) pairs, smallest first, that are merged."""
    merged: set[str] = set()
    together = 0
    for size, key in sizes:
        if size >= limit and (not merged or together >= limit):
            break
        merged.add(key)
        together += size
    return merged


def group_size(inputs: ScoreInputs, questionnaire: Questionnaire, group: RespondentGroup) -> int:
    """Return how many of a group answered about this unit: the most answers to any question."""
    questions = (item for item in questionnaire.items if not item.several)
    sizes = (sum(inputs.answers(questionnaire, group, item).values()) for item in questions)
    return max(sizes, default=0)


def _question_row(
    inputs: ScoreInputs,
    questionnaire: Questionnaire,
    groups: Sequence[RespondentGroup],
    item: AnyQuestion,
) -> ComponentBreakdown:
    scheme = inputs.scheme
    choices = item.choices(scheme)
    answers = [inputs.answers(questionnaire, group, item) for group in groups]
    counts = {choice.no: sum(one[choice.no] for one in answers) for choice in choices}
    value, base = _merged_mean(inputs, item, groups, answers)
    mark = _mark(scheme, value)
    # Merged groups keep their own weights, so the sum of their answers does not give the mark.
    single = len(groups) == 1
    row = ComponentBreakdown(
        key=_question_key(questionnaire, groups, item),
        label=item.label,
        weight=item.weight if item.scored else Decimal(0),
        base=base,
        mark=mark,
        group="、".join(group.label for group in groups),
        group_weight=sum((group.weight for group in groups), Decimal(0)),
        counts=option_counts(choices, counts),
        formula=mean_formula(choices, counts, base, mark) if single and base else "",
        note=_question_note(item, single=single),
    )
    return hide_if_small(scheme, row, counts)


def _question_key(
    questionnaire: Questionnaire, groups: Iterable[RespondentGroup], item: AnyQuestion
) -> str:
    group_keys = "+".join(group.key for group in groups)
    return f"{questionnaire.key}.{group_keys}.{item.no}"


def _mark(scheme: Scheme, value: Fraction | None) -> Decimal | None:
    """Return a value as it is displayed."""
    return None if value is None else rounded(value, scheme.ranking.decimals)


def _question_note(item: AnyQuestion, *, single: bool) -> str:
    notes = [] if single else ["各主体样本不足，合并列示"]
    if not item.scored:
        notes.append(f"{item.kind_label}题，不计分")
    return "；".join(notes)


def _merged_mean(
    inputs: ScoreInputs,
    item: AnyQuestion,
    groups: Sequence[RespondentGroup],
    answers: Sequence[Mapping[int, int]],
) -> tuple[Fraction | None, int]:
    """(mean of the groups' means by weight, number of answers that count)."""
    means = [inputs.question_mean(item, one) for one in answers]
    weights = [group.weight for group in groups]
    weighted = zip(weights, (mean for mean, _ in means), strict=True)
    return mean_of_present(weighted), sum(base for _, base in means)


# ── inspections ───────────────────────────────────────────────────────────────────────────────────


def _break_down_visits(inputs: ScoreInputs, formula: InspectionFormula) -> list[ComponentBreakdown]:
    return [_visit_row(inputs, formula, visit) for visit in visits_of(inputs, formula)]


def _visit_row(
    inputs: ScoreInputs, formula: InspectionFormula, visit: LedgerEntry
) -> ComponentBreakdown:
    findings = [one for one in inputs.of("finding") if one.subject_id == visit.subject_id]
    points = [_shown_points(inputs.scheme, formula, finding) for finding in findings]
    full = rounded(Fraction(100), inputs.scheme.ranking.decimals)
    mark = max(Decimal(0), full - sum(points, Decimal(0)))
    counts = (
        _finding_count(inputs.scheme, finding, lost)
        for finding, lost in zip(findings, points, strict=True)
    )
    return ComponentBreakdown(
        key=str(visit.subject_id),
        label=f"{visit.number}（{VisitMode(visit.text).label}）",
        weight=Decimal(1),
        base=1,
        mark=mark,
        counts=tuple(counts),
        formula=_visit_formula(points, mark),
        note=visit.occurred_at.astimezone(SHANGHAI).date().isoformat(),
    )


def _visit_formula(points: Sequence[Decimal], mark: Decimal) -> str:
    if not points:
        return "未发现问题"
    terms = "".join(f" − {plain(lost)}" for lost in points)
    return f"100{terms} = {mark}"


def _shown_points(scheme: Scheme, formula: InspectionFormula, finding: LedgerEntry) -> Decimal:
    return rounded(finding_points(scheme, formula, finding), scheme.ranking.decimals)


def _finding_count(scheme: Scheme, finding: LedgerEntry, lost: Decimal) -> BreakdownCount:
    return BreakdownCount(
        label=_item_label(scheme, finding.item),
        code=finding.detail,
        number=1,
        points=-lost,
    )


def _item_label(scheme: Scheme, item_id: str) -> str:
    items = (checklist.item(item_id) for checklist in scheme.checklists)
    labels = (item.label for item in items if item)
    return next(labels, f"{item_id}（现行检查表已无此项）")


# ── handling ──────────────────────────────────────────────────────────────────────────────────────


def _break_down_handling(inputs: ScoreInputs, formula: HandlingFormula) -> list[ComponentBreakdown]:
    decimals = inputs.scheme.ranking.decimals
    accepted = _rate_row(
        accepted_on_time(inputs.entries),
        key="accepted_on_time",
        label="按期签收",
        weight=formula.accepted_on_time,
        decimals=decimals,
    )
    handled_cases = handled_on_time(inputs.entries)
    handled = _rate_row(
        handled_cases,
        key="handled_on_time",
        label="按期办结",
        weight=formula.handled_on_time,
        decimals=decimals,
        note=_pauses_note(inputs, handled_cases.keys()),
    )
    return [accepted, handled, _rating_row(inputs, formula)]


def _pauses_note(inputs: ScoreInputs, cases: Collection[UUID]) -> str:
    """Name how many of these cases were paused: their deadline is later than the plain limit."""
    paused = {entry.subject_id for entry in inputs.of("case_paused")}.intersection(cases)
    return f"其中 {len(paused)} 件曾经批准暂停计时" if paused else ""


def _rate_row(
    on_time: Mapping[UUID, bool],
    *,
    key: str,
    label: str,
    weight: Decimal,
    decimals: int,
    note: str = "",
) -> ComponentBreakdown:
    rate = percent_on_time(on_time)
    met = sum(on_time.values())
    cases = len(on_time)
    mark = None if rate is None else rounded(rate, decimals)
    return ComponentBreakdown(
        key=key,
        label=label,
        weight=weight,
        base=cases,
        mark=mark,
        counts=_rate_counts(met, cases - met),
        formula=f"按期 {met} ÷ {cases} 件 = {mark}%" if on_time else "",
        note=note,
    )


def _rate_counts(met: int, missed: int) -> tuple[BreakdownCount, ...]:
    return (
        BreakdownCount(label="按期", code="on_time", number=met, points=Decimal(100)),
        BreakdownCount(label="超期", code="late", number=missed, points=Decimal(0)),
    )


def _rating_row(inputs: ScoreInputs, formula: HandlingFormula) -> ComponentBreakdown:
    scheme = inputs.scheme
    counts = rating_counts(inputs)
    value, base = mean_points(inputs.points, counts)
    mark = _mark(scheme, value)
    row = ComponentBreakdown(
        key="rated",
        label="来件人评价",
        weight=formula.rated,
        base=base,
        mark=mark,
        counts=option_counts(scheme.options, counts),
        formula=mean_formula(scheme.options, counts, base, mark) if base else "",
    )
    return hide_if_small(scheme, row, counts)


# ── score sheets ──────────────────────────────────────────────────────────────────────────────────


def _break_down_sheet(inputs: ScoreInputs, formula: ScoreSheetFormula) -> list[ComponentBreakdown]:
    sheet = find_sheet(inputs.scheme, formula)
    given = points_by_item(inputs, formula)
    decimals = inputs.scheme.ranking.decimals
    return [_sheet_row(sheet, item, given.get(str(item.no), []), decimals) for item in sheet.items]


def _sheet_row(
    sheet: ScoreSheet,
    item: ScoreSheetItem,
    points: list[Fraction],
    decimals: int,
) -> ComponentBreakdown:
    mark = _sheet_mark(sheet, points, decimals)
    maximum = plain(sheet.maximum)
    formula = f"{len(points)} 份评分平均，满分 {maximum}，折成百分 = {mark}"
    return ComponentBreakdown(
        key=f"{sheet.key}.{item.no}",
        label=item.label,
        weight=item.weight,
        base=len(points),
        mark=mark,
        counts=(),
        formula=formula if points else "",
    )


def _sheet_mark(sheet: ScoreSheet, points: list[Fraction], decimals: int) -> Decimal | None:
    if not points:
        return None
    return rounded(mean_of(points) * 100 / exact(sheet.maximum), decimals)
