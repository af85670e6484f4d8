"""A score put into words and numbers that a person can check: what each mark is the mean of, and
the formula with its numbers in it.

Groups of respondents under the scheme's `publication.small_group` are never shown alone: they are
merged with each other, and with the next smallest until the sum is large enough, so that no
difference of two shown numbers gives them away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

from services.scoring.domain.score import (
    Line,
    Mark,
    Material,
    Score,
    accepted_on_time,
    adjustments,
    handled_on_time,
    mean_points,
    points_off,
    rate,
    ratings,
    rounded,
    sheet_of,
    sheet_points,
    weighted_mean,
)
from shared.appraisal.calendar.working_days import SHANGHAI
from shared.appraisal.schemes import (
    Component,
    HandlingFormula,
    InspectionFormula,
    Questionnaire,
    RespondentGroup,
    SatisfactionFormula,
    Scheme,
    ScoreSheetFormula,
)

SMALL: Final = "样本不足"
STATE_LABELS: Final = {
    "counted": "计分",
    "below": "样本不足，不计入",
    "absent": "尚无数据，不计入",
    "full": "尚无数据，按满分计",
    "unranked": "尚无结果，暂不排名",
}
"""What a component's state is called on pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many, and points for each (None: not counted). `number` None: too few to be shown."""

    label: str
    code: str
    number: int | None
    points: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One thing that a mark is made of: a question to a group, a visit, a measure of handling, an
    item of a sheet.

    `weight`: against the other shares of the same `group`; `group_weight`: of the group against the
    others. `base`: what the mark is the mean over, None when too small to be shown. `mark`: rounded
    for display; the component's mark comes from the exact values. `formula`: with its numbers in
    it, "" where there is nothing to compute.
    """

    key: str
    label: str
    weight: Decimal
    base: int | None
    mark: Decimal | None
    counts: tuple[Count, ...]
    formula: str
    group: str = ""
    group_weight: Decimal = Decimal(1)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component with all it is made of. `rule`: how the shares become the mark, in a sentence."""

    key: str
    label: str
    rule_id: str
    kind: str
    state: str
    rule: str
    minimum: int
    mark: Mark
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A score and everything it comes from. The same material gives the same bytes of its JSON."""

    score: Score
    scheme_version: str
    fingerprint: str
    parts: tuple[Part, ...]
    lines: tuple[Line, ...]
    without_lines: Decimal | None
    """The total if no points had been taken off or put on; None without a total."""


def explain(material: Material, score: Score) -> Explanation:
    """What `score` comes from. `score` is `score_unit` of the same material."""
    scheme, lines = material.scheme, tuple(adjustments(material))
    parts = tuple(
        _part(material, component, score.component(component.key))
        for component in scheme.components
    )
    return Explanation(
        score=score,
        scheme_version=scheme.version,
        fingerprint=scheme.fingerprint,
        parts=parts,
        lines=lines,
        without_lines=_without_lines(scheme, score),
    )


def _without_lines(scheme: Scheme, score: Score) -> Decimal | None:
    pairs = [(one.weight, Fraction(one.raw)) for one in score.components if one.raw is not None]
    free = weighted_mean(pairs)
    return None if free is None or score.total is None else rounded(free, scheme.ranking.decimals)


def _part(material: Material, component: Component, mark: Mark) -> Part:
    formula = component.formula
    if isinstance(formula, SatisfactionFormula):
        rule, shares = (
            "各题按题目权重、各主体按主体权重加权平均，不了解不计入",
            _answers(material, formula),
        )
    elif isinstance(formula, InspectionFormula):
        rule, shares = _inspection_rule(formula), _visits(material, formula)
    elif isinstance(formula, HandlingFormula):
        rule, shares = (
            "按期签收、按期办结、来件人评价三项按占比加权平均，没有基数的一项让出占比",
            _measures(material, formula),
        )
    else:
        rule, shares = "各项评分取平均，按权重加权，折成百分", _sheet_items(material, formula)
    return Part(
        key=component.key,
        label=component.label,
        rule_id=component.id,
        kind=str(formula.__struct_config__.tag),
        rule=rule,
        state=STATE_LABELS[mark.state],
        minimum=formula.minimum,
        mark=mark,
        shares=tuple(shares),
    )


# ── questionnaires ────────────────────────────────────────────────────────────────────────────────


def _answers(material: Material, formula: SatisfactionFormula) -> list[Share]:
    questionnaires = [
        one for one in material.scheme.questionnaires if one.key in formula.instruments
    ]
    return [
        share
        for questionnaire in questionnaires
        for share in _questionnaire_shares(material, questionnaire)
    ]


def _questionnaire_shares(material: Material, questionnaire: Questionnaire) -> list[Share]:
    """A share for each question to each group that is large enough, and merged ones for the small
    groups together.
    """
    small = _too_small(material, questionnaire)
    shares = [
        _question(material, questionnaire, [group], at)
        for group in questionnaire.groups
        if group.key not in small
        for at in range(len(questionnaire.items))
    ]
    if small:
        merged = [group for group in questionnaire.groups if group.key in small]
        shares += [
            _question(material, questionnaire, merged, at) for at in range(len(questionnaire.items))
        ]
    return [
        share for share in shares if share.base != 0 or any(count.number for count in share.counts)
    ]


def _too_small(material: Material, questionnaire: Questionnaire) -> set[str]:
    """Groups that answered, but too few of them; with the next smallest ones until there are enough
    together.
    """
    limit = material.scheme.publication.small_group
    sizes = sorted(
        (size, group.key)
        for group in questionnaire.groups
        if (size := group_size(material, questionnaire, group))
    )
    merged: set[str] = set()
    together = 0
    for size, key in sizes:
        if size >= limit and (not merged or together >= limit):
            break
        merged.add(key)
        together += size
    return merged


def group_size(material: Material, questionnaire: Questionnaire, group: RespondentGroup) -> int:
    """How many of a group answered about this unit: the question that most of them answered."""
    return max(
        (sum(material.cast(questionnaire, group, item).values()) for item in questionnaire.items),
        default=0,
    )


def _question(
    material: Material, questionnaire: Questionnaire, groups: Sequence[RespondentGroup], at: int
) -> Share:
    item, scheme = questionnaire.items[at], material.scheme
    cast = {
        option.no: sum(material.cast(questionnaire, group, item)[option.no] for group in groups)
        for option in scheme.options
    }
    means = [
        (group.weight, *mean_points(material, material.cast(questionnaire, group, item)))
        for group in groups
    ]
    value = weighted_mean([(weight, mean) for weight, mean, _ in means if mean is not None])
    base = sum(number for _, _, number in means)
    # Merged groups keep their own weights, so that the sum of their answers does not give the mark.
    alone = len(groups) == 1
    mark = None if value is None else rounded(value, scheme.ranking.decimals)
    share = Share(
        key=f"{questionnaire.key}.{'+'.join(group.key for group in groups)}.{item.no}",
        label=item.label,
        weight=item.weight,
        base=base,
        mark=mark,
        group="、".join(group.label for group in groups),
        group_weight=sum((group.weight for group in groups), Decimal(0)),
        counts=_counts(scheme, cast),
        formula=_mean_in_words(scheme, cast, base, mark) if alone and base else "",
        note="" if alone else "各主体样本不足，合并列示",
    )
    return _hidden(share) if 0 < sum(cast.values()) < scheme.publication.small_group else share


def _counts(scheme: Scheme, cast: Mapping[int, int]) -> tuple[Count, ...]:
    return tuple(
        Count(label=one.label, code=one.code, number=cast[one.no], points=one.points)
        for one in scheme.options
    )


def _hidden(share: Share) -> Share:
    """The share of so few that no number of it may be shown."""
    counts = tuple(replace(count, number=None) for count in share.counts)
    return replace(share, base=None, mark=None, formula="", note=SMALL, counts=counts)


def _mean_in_words(scheme: Scheme, cast: Mapping[int, int], base: int, mark: Decimal | None) -> str:
    """`(满意 301×100 + 基本满意 78×80 + 不满意 33×0) ÷ 412 = 88.20（不了解 47 份不计入）`."""
    terms = " + ".join(
        f"{option.label} {cast[option.no]}×{plain(option.points)}"
        for option in scheme.options
        if option.points is not None
    )
    left_out = "、".join(
        f"{one.label} {cast[one.no]} 份"
        for one in scheme.options
        if one.points is None and cast[one.no]
    )
    return f"({terms}) ÷ {base} = {mark}" + (f"（{left_out}不计入）" if left_out else "")


def plain(number: Decimal) -> str:
    """A number as people write it: 100, 0.5."""
    return f"{number.normalize():f}"


# ── inspections, handling, sheets ─────────────────────────────────────────────────────────────────


def _inspection_rule(formula: InspectionFormula) -> str:
    return (
        "100 减去各次检查扣分之和，不低于 0"
        if formula.spread == "sum"
        else "每次检查 100 减扣分（不低于 0），各次取平均"
    )


def _visits(material: Material, formula: InspectionFormula) -> list[Share]:
    return [
        _visit(
            material,
            formula,
            visit.subject_id,
            visit.number,
            visit.text,
            visit.occurred_at.astimezone(SHANGHAI).date().isoformat(),
        )
        for visit in material.of("visit")
        if visit.detail == formula.instrument
    ]


def _visit(
    material: Material,
    formula: InspectionFormula,
    visit_id: object,
    number: str,
    mode: str,
    day: str,
) -> Share:
    scheme, counts = material.scheme, list[Count]()
    for finding in material.of("finding"):
        if finding.subject_id == visit_id:
            points = -rounded(points_off(scheme, formula, finding), scheme.ranking.decimals)
            counts.append(
                Count(
                    label=_item_label(scheme, finding.item),
                    code=finding.detail,
                    number=1,
                    points=points,
                )
            )
    off = sum((count.points for count in counts if count.points is not None), Decimal(0))
    mark = max(Decimal(0), rounded(Fraction(100), scheme.ranking.decimals) + off)
    terms = "".join(f" − {plain(-count.points)}" for count in counts if count.points is not None)
    return Share(
        key=str(visit_id),
        label=f"{number}（{'明察' if mode == 'announced' else '暗访'}）",
        weight=Decimal(1),
        base=1,
        mark=mark,
        counts=tuple(counts),
        formula=f"100{terms} = {mark}" if counts else "未发现问题",
        note=day,
    )


def _item_label(scheme: Scheme, item_id: str) -> str:
    return next(
        (item.label for one in scheme.checklists for item in one.items if item.id == item_id),
        f"{item_id}（现行检查表已无此项）",
    )


def _measures(material: Material, formula: HandlingFormula) -> list[Share]:
    scheme, said = material.scheme, ratings(material)
    value, base = mean_points(material, said)
    rated = None if value is None else rounded(value, scheme.ranking.decimals)
    says = Share(
        key="rated",
        label="来件人评价",
        weight=formula.rated,
        base=base,
        mark=rated,
        counts=_counts(scheme, said),
        formula=_mean_in_words(scheme, said, base, rated) if base else "",
    )
    return [
        _kept(
            scheme,
            "accepted_on_time",
            "按期签收",
            formula.accepted_on_time,
            accepted_on_time(material.entries),
        ),
        _kept(
            scheme,
            "handled_on_time",
            "按期办结",
            formula.handled_on_time,
            handled_on_time(material.entries),
        ),
        _hidden(says) if 0 < sum(said.values()) < scheme.publication.small_group else says,
    ]


def _kept(
    scheme: Scheme, key: str, label: str, weight: Decimal, kept: Mapping[UUID, bool]
) -> Share:
    share, good = rate(kept), sum(kept.values())
    mark = None if share is None else rounded(share, scheme.ranking.decimals)
    return Share(
        key=key,
        label=label,
        weight=weight,
        base=len(kept),
        mark=mark,
        counts=(
            Count(label="按期", code="on_time", number=good, points=Decimal(100)),
            Count(label="超期", code="late", number=len(kept) - good, points=Decimal(0)),
        ),
        formula=f"按期 {good} ÷ {len(kept)} 件 = {mark}%" if kept else "",
    )


def _sheet_items(material: Material, formula: ScoreSheetFormula) -> list[Share]:
    sheet, given = sheet_of(material.scheme, formula), sheet_points(material, formula)
    shares = []
    for item in sheet.items:
        points = given.get(str(item.no), [])
        mean = (
            rounded(
                sum(points, Fraction(0)) / len(points) * 100 / Fraction(sheet.maximum),
                material.scheme.ranking.decimals,
            )
            if points
            else None
        )
        formula_text = (
            f"{len(points)} 份评分平均，满分 {plain(sheet.maximum)}，折成百分 = {mean}"
            if points
            else ""
        )
        shares.append(
            Share(
                key=f"{sheet.key}.{item.no}",
                label=item.label,
                weight=item.weight,
                base=len(points),
                mark=mean,
                counts=(),
                formula=formula_text,
            )
        )
    return shares


def for_the_unit(explanation: Explanation) -> Explanation:
    """What the unit itself may see: no numbers of visits or cases, days only, no texts of findings."""
    lines = tuple(
        replace(line, number="", text="", occurred_at=line.occurred_at[:10])
        for line in explanation.lines
    )
    parts = tuple(
        replace(
            part, shares=tuple(replace(share, label=share.label[-3:-1]) for share in part.shares)
        )
        if part.kind == "inspection"
        else part
        for part in explanation.parts
    )
    return replace(explanation, lines=lines, parts=parts)


# ── events in words ───────────────────────────────────────────────────────────────────────────────

DEADLINES: Final = {
    "assign": "分办",
    "accept": "签收",
    "handle": "办理",
    "review": "审核",
    "supervise": "督办",
    "rectify": "整改",
}
SEVERITIES: Final = {"minor": "轻微", "ordinary": "一般", "serious": "严重"}
_WORDS: Final = {
    "case_opened": "立案",
    "case_assigned": "分办",
    "case_accepted": "签收",
    "case_returned": "退回",
    "case_sent_back": "办理结果退回重办",
    "case_closed": "办结",
    "rated": "来件人评价",
    "visit": "检查记录生效",
    "sheet": "评分表登记",
}


def in_words(scheme: Scheme, measure: str, number: str, detail: str, text: str) -> str:
    """A ledger line in a few words: `T-0012 办理超期`, `V-0193 检查发现一般问题：窗口无人在岗`."""
    if measure == "deadline_lapsed":
        said = f"{DEADLINES.get(detail, detail)}超期"
    elif measure == "finding":
        said = f"检查发现{SEVERITIES.get(detail, detail)}问题：{text}"
    elif measure == "obligation_lapsed":
        said = f"{text}逾期"
    elif measure in ("decision", "revoked"):
        rule = scheme.rule(detail)
        said = f"{'撤销认定' if measure == 'revoked' else '认定'}：{rule.label if rule else detail}"
    else:
        said = _WORDS[measure]
    return f"{number} {said}".strip()
