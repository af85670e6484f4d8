"""How a unit's mark comes about: marks of the components, points off and on, the total. Exact until
the declared roundings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import lcm
from typing import Final, Literal
from uuid import UUID

from services.scoring.domain.entries import SOURCES, Entry
from shared.appraisal.schemes import (
    Adjustment,
    Component,
    HandlingFormula,
    InspectionFormula,
    Questionnaire,
    QuestionnaireItem,
    RespondentGroup,
    SatisfactionFormula,
    Scheme,
    ScoreSheet,
    ScoreSheetFormula,
)

DISSATISFIED: Final = "dissatisfied"
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_NOTHING: Final = Fraction(0)

AnswerCounts = Mapping[tuple[str, str, int, int], int]
"""Answers on one unit: (instrument, group, item_no, option_no) → number of answers."""
State = Literal["counted", "below", "absent", "full", "unranked"]
"""Whether a component counts: it does · sample too small · nothing there · counts 100 · keeps the
unit out of the ranking.
"""

exact = lru_cache(maxsize=4096)(Fraction)
"""A Decimal of a scheme as an exact fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points off (negative) or on for one event, by one rule. `amount` 0 with a `note` where the
    rule lets it pass.

    `of`: "total" or the component whose mark it moves. `occurred_at`: ISO 8601, UTC.
    """

    rule_id: str
    label: str
    of: str
    amount: Decimal
    event_id: UUID
    part: int
    subject_id: UUID
    source: str
    number: str
    occurred_at: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A component of a unit's score.

    `raw`: by the formula; `adjusted`: points off and on aimed at it; `mark`: their sum within
    0–100, None when it does not count. `share`: percent of the total it has here, after absent ones
    left theirs to the others. `contribution`: as displayed.
    """

    key: str
    weight: Decimal
    share: Decimal
    state: State
    raw: Decimal | None
    adjusted: Decimal
    mark: Decimal | None
    contribution: Decimal | None
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A unit's score. The same events give the same bytes of its JSON.

    `total`: 0–100, None when no component counts. `adjusted`: points off and on aimed at the total;
    `bounded`: what keeping the total within 0–100 added or took. Contributions, `adjusted` and
    `bounded` add up to `total`. `unranked`: why it has no rank ("" = it has). `sample`: counted
    answers to item 1 over all questionnaires. `ties`: value of each tie rule, smaller is better.
    `decided`: rules that a person decided to apply to this unit.
    """

    unit_no: int
    scheme_version: str
    total: Decimal | None
    unranked: str
    disqualified: bool
    sample: int
    components: tuple[Mark, ...]
    adjusted: Decimal
    bounded: Decimal
    ties: tuple[Decimal, ...]
    grade: str | None
    decided: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        return self.total is not None and not self.unranked

    def component(self, key: str) -> Mark:
        """The component of that key. Raises StopIteration for one the scheme does not have."""
        return next(one for one in self.components if one.key == key)


@dataclass(frozen=True)
class Material:
    """All that is known about one unit: answers counted, summed over the shards, standing ledger lines in the
    order of their legal time.
    """

    scheme: Scheme
    answer_counts: AnswerCounts
    entries: Sequence[Entry]

    @cached_property
    def points(self) -> tuple[tuple[int, Fraction], ...]:
        """(option number, points) of the counted options."""
        return tuple(
            (option.no, exact(option.points))
            for option in self.scheme.options
            if option.points is not None
        )

    def cast(
        self, questionnaire: Questionnaire, group: RespondentGroup, item: QuestionnaireItem
    ) -> dict[int, int]:
        """Option number → answers of this group to this question."""
        return {
            option.no: self.answer_counts.get((questionnaire.key, group.key, item.no, option.no), 0)
            for option in self.scheme.options
        }

    def of(self, *measures: str) -> list[Entry]:
        """Ledger lines of these measures."""
        return [one for one in self.entries if one.measure in measures]


# ── exact arithmetic ──────────────────────────────────────────────────────────────────────────────


def products(pairs: Iterable[tuple[Fraction | int, Fraction | int]]) -> Fraction:
    """Sum of the products of the pairs, exactly; over one common denominator, which is far quicker
    than adding fractions in turn.
    """
    terms = [(a.numerator * b.numerator, a.denominator * b.denominator) for a, b in pairs]
    below = lcm(*(den for _, den in terms))
    return Fraction(sum(num * (below // den) for num, den in terms), below)


def weighted_mean(values: Sequence[tuple[Decimal, Fraction]]) -> Fraction | None:
    """Mean of (weight above zero, value) pairs; None without any."""
    if not values:
        return None
    return products((exact(weight), value) for weight, value in values) / products(
        (exact(weight), 1) for weight, _ in values
    )


def rounded(value: Fraction, decimals: int) -> Decimal:
    """The value with so many digits after the point, half even, exactly."""
    return Decimal(round(value * 10**decimals)).scaleb(-decimals, _WIDE)


def bounded(value: Fraction) -> Fraction:
    """The value, not below 0 and not above 100."""
    return min(max(value, _NOTHING), Fraction(100))


def largest_remainder(values: Sequence[Fraction], total: Decimal, decimals: int) -> list[Decimal]:
    """The values with so many digits, each changed by less than one in the last, so that they add
    up to `total`, their rounded sum.
    """
    unit = 10**decimals
    floors = [(value * unit).__floor__() for value in values]
    missing = int(total.scaleb(decimals)) - sum(floors)
    assert 0 <= missing <= len(values), "the total is the rounded sum of these values"
    by_remainder = sorted(
        range(len(values)), key=lambda index: (floors[index] - values[index] * unit, index)
    )
    for index in by_remainder[:missing]:
        floors[index] += 1
    return [Decimal(one).scaleb(-decimals, _WIDE) for one in floors]


# ── the marks of the formulas ─────────────────────────────────────────────────────────────────────

Raw = tuple[Fraction | None, int]
"""What a formula gives: exact value 0–100 (None: nothing to go by) and how large the sample is."""


def satisfaction(material: Material, formula: SatisfactionFormula) -> Raw:
    """Mean points of the counted answers: items by weight, then groups by weight. The sample is
    counted on item 1.
    """
    groups, sample = [], 0
    for questionnaire in (
        one for one in material.scheme.questionnaires if one.key in formula.instruments
    ):
        for group in questionnaire.groups:
            means = [
                (item, *mean_points(material, material.cast(questionnaire, group, item)))
                for item in questionnaire.items
            ]
            sample += sum(base for item, _, base in means if item.no == 1)
            value = weighted_mean(
                [(item.weight, mean) for item, mean, _ in means if mean is not None]
            )
            if value is not None:
                groups.append((group.weight, value))
    return weighted_mean(groups), sample


def mean_points(material: Material, cast: Mapping[int, int]) -> tuple[Fraction | None, int]:
    """(mean points of the counted answers, how many they are)."""
    base = sum(cast[no] for no, _ in material.points)
    return products(
        (points, cast[no]) for no, points in material.points
    ) / base if base else None, base


def inspection(material: Material, formula: InspectionFormula) -> Raw:
    """100 less the points of the findings, over all visits together or as the mean of the visits'
    marks.
    """
    off = {
        visit.subject_id: _NOTHING
        for visit in material.of("visit")
        if visit.detail == formula.instrument
    }
    for finding in material.of("finding"):
        if finding.subject_id in off:
            off[finding.subject_id] += points_off(material.scheme, formula, finding)
    if not off:
        return None, 0
    if formula.spread == "sum":
        return bounded(100 - sum(off.values(), _NOTHING)), len(off)
    return sum((bounded(100 - one) for one in off.values()), _NOTHING) / len(off), len(off)


def points_off(scheme: Scheme, formula: InspectionFormula, finding: Entry) -> Fraction:
    """Amount of the checklist item times the factor of the severity; 0 for an item that this
    version no longer has.
    """
    item = next(
        (
            item
            for one in scheme.checklists
            if one.key == formula.instrument
            for item in one.items
            if item.id == finding.item
        ),
        None,
    )
    return (
        exact(item.amount) * exact(getattr(formula.severities, finding.detail))
        if item
        else _NOTHING
    )


def handling(material: Material, formula: HandlingFormula) -> Raw:
    """Shares of: accepted on time, handled on time, what the complainants say. The sample is the
    number of cases.
    """
    accepted, handled = accepted_on_time(material.entries), handled_on_time(material.entries)
    said, _ = mean_points(material, ratings(material))
    measures = (
        (formula.accepted_on_time, rate(accepted)),
        (formula.handled_on_time, rate(handled)),
        (formula.rated, said),
    )
    value = weighted_mean(
        [(weight, one) for weight, one in measures if one is not None and weight > 0]
    )
    return value, len(accepted.keys() | handled.keys())


def accepted_on_time(entries: Iterable[Entry]) -> dict[UUID, bool]:
    """Case → was it accepted (签收) in time? Of the cases accepted, or past their time."""
    return _punctual(entries, "case_accepted", "accept")


def handled_on_time(entries: Iterable[Entry]) -> dict[UUID, bool]:
    """Case → was it closed (办结) in time? Of the cases closed, or past their time."""
    return _punctual(entries, "case_closed", "handle")


def _punctual(entries: Iterable[Entry], done: str, deadline: str) -> dict[UUID, bool]:
    kept: dict[UUID, bool] = {}
    for entry in entries:
        if entry.measure == done:
            kept[entry.subject_id] = kept.get(entry.subject_id, True) and not entry.late
        elif entry.measure == "deadline_lapsed" and entry.detail == deadline:
            kept[entry.subject_id] = False
    return kept


def rate(kept: Mapping[UUID, bool]) -> Fraction | None:
    """Percent of the cases that kept the deadline; None without cases."""
    return Fraction(100 * sum(kept.values()), len(kept)) if kept else None


def ratings(material: Material) -> dict[int, int]:
    """Option number → complainants who chose it after their case was closed."""
    said = {option.no: 0 for option in material.scheme.options}
    for entry in material.of("rated"):
        if entry.option_no in said:
            said[entry.option_no] += 1
    return said


def scoring_sheet(material: Material, formula: ScoreSheetFormula) -> Raw:
    """Mean of the points given for each item, items by weight, brought to 0–100. The sample is the
    number of sheets.
    """
    sheet, given = sheet_of(material.scheme, formula), sheet_points(material, formula)
    means = [
        (item.weight, sum(points, _NOTHING) / len(points))
        for item in sheet.items
        if (points := given.get(str(item.no)))
    ]
    mean = weighted_mean(means)
    sheets = {one.subject_id for one in material.of("sheet") if one.detail == formula.instrument}
    return None if mean is None else mean * 100 / exact(sheet.maximum), len(sheets)


def sheet_of(scheme: Scheme, formula: ScoreSheetFormula) -> ScoreSheet:
    """The sheet a formula is about; a checked scheme has it."""
    return next(
        one
        for one in scheme.instruments
        if isinstance(one, ScoreSheet) and one.key == formula.instrument
    )


def sheet_points(material: Material, formula: ScoreSheetFormula) -> dict[str, list[Fraction]]:
    """Item number → points given for it."""
    given: dict[str, list[Fraction]] = {}
    for entry in material.of("sheet"):
        if entry.detail == formula.instrument and entry.points is not None:
            given.setdefault(entry.item, []).append(exact(entry.points))
    return given


def raw_mark(material: Material, component: Component) -> Raw:
    """The component's formula applied."""
    formula = component.formula
    if isinstance(formula, SatisfactionFormula):
        return satisfaction(material, formula)
    if isinstance(formula, InspectionFormula):
        return inspection(material, formula)
    if isinstance(formula, HandlingFormula):
        return handling(material, formula)
    return scoring_sheet(material, formula)


# ── points off and on ─────────────────────────────────────────────────────────────────────────────


def adjustments(material: Material) -> list[Line]:
    """A line for every event that a deduction or bonus of the scheme is about, in the order in
    which they became true.
    """
    scheme, lines = material.scheme, list[Line]()
    for sign, rules in ((-1, scheme.deductions), (1, scheme.bonuses)):
        for rule in rules:
            lines += _priced(rule, [one for one in material.entries if fits(rule, one)], sign)
    return lines


def fits(rule: Adjustment, entry: Entry) -> bool:
    """Is this rule about this line?"""
    if entry.measure != rule.event or (
        rule.kinds and entry.kind not in {one.value for one in rule.kinds}
    ):
        return False
    wanted = {"deadline_lapsed": rule.deadline, "finding": rule.severity, "decision": rule.id}.get(
        rule.event
    )
    return wanted is None or wanted == entry.detail


def _priced(rule: Adjustment, hit: Sequence[Entry], sign: int) -> list[Line]:
    """The rule's amount for each, none for the first `after`, no more than `cap` together."""
    lines, left = [], rule.cap
    for number, entry in enumerate(hit, start=1):
        amount = rule.amount if left is None else min(rule.amount, left)
        note = "" if amount == rule.amount else f"已达上限 {rule.cap} 分"
        if number <= rule.after:
            amount, note = Decimal(0), f"前 {rule.after} 次不计"
        left = None if left is None else left - amount
        lines.append(_line(rule, entry, sign * amount if amount else amount, note))
    return lines


def _line(rule: Adjustment, entry: Entry, amount: Decimal, note: str) -> Line:
    return Line(
        rule_id=rule.id,
        label=rule.label,
        of=rule.of,
        amount=amount,
        event_id=entry.event_id,
        part=entry.part,
        note=note,
        subject_id=entry.subject_id,
        source=SOURCES[entry.measure],
        number=entry.number,
        text=entry.text,
        occurred_at=entry.occurred_at.isoformat(),
    )


# ── the whole ─────────────────────────────────────────────────────────────────────────────────────


def material_of(scheme: Scheme, answer_counts: AnswerCounts, entries: Iterable[Entry]) -> Material:
    """What a unit is judged on. `entries`: its standing ledger lines, in any order."""
    return Material(scheme, answer_counts, sorted(entries, key=lambda one: one.order))


def score_unit(material: Material, unit_no: int) -> Score:
    """Score of one unit from everything known about it.

    Source: the scheme's components, deductions, bonuses, vetoes, ranking and grades.
    """
    scheme, lines = material.scheme, adjustments(material)
    marks = _shared_out([_mark(material, one, lines) for one in scheme.components])
    total, marks, adjusted, rest = _sum_up(scheme, marks, lines)
    decided = tuple(sorted({one.detail for one in material.of("decision")}))
    disqualified = any(
        veto.effect == "disqualified" and veto.id in decided for veto in scheme.vetoes
    )
    sample = sample_of(material)
    return Score(
        unit_no=unit_no,
        scheme_version=scheme.version,
        total=total,
        disqualified=disqualified,
        sample=sample,
        components=tuple(marks),
        unranked=_unranked(scheme, marks, total, sample, disqualified),
        adjusted=adjusted,
        bounded=rest,
        ties=tuple(rounded(_TIES[rule](material), 6) for rule in scheme.ranking.ties),
        grade=_grade(scheme, total),
        decided=decided,
    )


def _mark(material: Material, component: Component, lines: Sequence[Line]) -> Mark:
    (value, sample), decimals = raw_mark(material, component), material.scheme.ranking.decimals
    state = _state(component, value, sample)
    raw = (
        Decimal(100)
        if state == "full"
        else rounded(value, decimals)
        if state == "counted" and value is not None
        else None
    )
    adjusted = sum((line.amount for line in lines if line.of == component.key), Decimal(0))
    return Mark(
        key=component.key,
        weight=component.weight,
        share=Decimal(0),
        state=state,
        raw=raw,
        adjusted=adjusted,
        sample=sample,
        mark=None
        if raw is None
        else rounded(bounded(Fraction(raw) + Fraction(adjusted)), decimals),
        contribution=None,
    )


def _state(component: Component, value: Fraction | None, sample: int) -> State:
    formula = component.formula
    if value is not None and sample >= formula.minimum:
        return "counted"
    policy = formula.absent if value is None else formula.below
    if policy == "leave_out":
        return "absent" if value is None else "below"
    return policy


def _shared_out(marks: Sequence[Mark]) -> list[Mark]:
    """Give each component that counts its percent of the total: what the others leave is shared by
    weight.
    """
    present = sum((one.weight for one in marks if one.mark is not None), Decimal(0))
    return [
        replace(one, share=rounded(Fraction(one.weight) * 100 / Fraction(present), 2))
        if one.mark is not None
        else one
        for one in marks
    ]


def _sum_up(
    scheme: Scheme, marks: list[Mark], lines: Sequence[Line]
) -> tuple[Decimal | None, list[Mark], Decimal, Decimal]:
    """(total, marks with what each contributes, points off and on, what the bounds changed); they
    add up to the total.
    """
    decimals = scheme.ranking.decimals
    adjusted = sum((line.amount for line in lines if line.of == "total"), Decimal(0))
    present = sum((one.weight for one in marks if one.mark is not None), Decimal(0))
    if not present:
        return None, marks, rounded(Fraction(adjusted), decimals), Decimal(0)
    parts = [
        Fraction(one.mark) * exact(one.weight) / exact(present)
        if one.mark is not None
        else _NOTHING
        for one in marks
    ]
    free = sum(parts, Fraction(adjusted))
    total = rounded(bounded(free), decimals)
    *shown, off = largest_remainder([*parts, Fraction(adjusted)], rounded(free, decimals), decimals)
    given = [
        replace(one, contribution=part) if one.mark is not None else one
        for one, part in zip(marks, shown, strict=True)
    ]
    return total, given, off, total - rounded(free, decimals)


def sample_of(material: Material) -> int:
    """Counted answers to item 1 over all questionnaires."""
    counted = {no for no, _ in material.points}
    return sum(
        number
        for (_, _, item_no, option_no), number in material.answer_counts.items()
        if item_no == 1 and option_no in counted
    )


def _unranked(
    scheme: Scheme, marks: Sequence[Mark], total: Decimal | None, sample: int, disqualified: bool
) -> str:
    if disqualified:
        return "一票否决，取消成绩"
    if total is None:
        return "尚无计分数据"
    missing = [scheme.component(one.key) for one in marks if one.state == "unranked"]
    if missing:
        return f"{'、'.join(one.label for one in missing if one)}尚无结果"
    if sample < scheme.ranking.minimum_sample:
        return f"样本不足（{sample} 份，至少 {scheme.ranking.minimum_sample} 份）"
    return ""


def dissatisfaction_rate(material: Material) -> Fraction:
    """Percent of 不满意 among the counted answers to item 1 over all questionnaires; 0 without answers."""
    bad = {option.no for option in material.scheme.options if option.code == DISSATISFIED}
    against = sum(
        number
        for (_, _, item_no, option_no), number in material.answer_counts.items()
        if item_no == 1 and option_no in bad
    )
    base = sample_of(material)
    return Fraction(100 * against, base) if base else _NOTHING


def _findings(material: Material) -> Fraction:
    return Fraction(len(material.of("finding")))


def _late_cases(material: Material) -> Fraction:
    return Fraction(sum(not kept for kept in handled_on_time(material.entries).values()))


_TIES: Final = {
    "dissatisfaction_rate": dissatisfaction_rate,
    "findings": _findings,
    "late_cases": _late_cases,
}


def _grade(scheme: Scheme, total: Decimal | None) -> str | None:
    if total is None:
        return None
    return next((grade.key for grade in scheme.grades if total >= grade.at_least), None)
