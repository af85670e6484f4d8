"""What must hold in a scheme beyond the shape of its parts: each finding is a place and a sentence
that says what to do.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from shared.appraisal.labels import ComplaintKind, Urgency
from shared.appraisal.schemes.model import (
    Adjustment,
    Checklist,
    HandlingFormula,
    InspectionFormula,
    Instrument,
    Questionnaire,
    SatisfactionFormula,
    Scheme,
    SchemePart,
    SchemeRule,
    ScoreSheet,
    ScoreSheetFormula,
    parts,
)

SchemeViolation = tuple[str, str]
"""(path in the scheme, e.g. `components[2].weight`; sentence in Chinese)."""

ROLES = (
    "operator",
    "reviewer",
    "handler",
    "unit_head",
    "supervisor",
    "office",
    "inspector",
    "leader",
    "admin",
)
DISSATISFIED = "dissatisfied"
HUNDRED = Decimal(100)
REQUIRED_STAGES = ("assign", "accept", "handle", "review")
"""Stages that every case goes through; each needs a limit for every kind and urgency."""


def check(scheme: Scheme) -> list[SchemeViolation]:
    """Everything wrong with the scheme, in its own order; empty when it can be used."""
    return [finding for one in CHECKS for finding in one(scheme)]


def _ids(scheme: Scheme) -> Iterator[SchemeViolation]:
    seen: set[str] = set()
    for path, part in parts(scheme):
        if not isinstance(part, SchemeRule):
            continue
        if not re.fullmatch(rf"{re.escape(scheme.id)}\d+(\.[a-z0-9_]+)*", part.id):
            yield (
                f"{path}.id",
                f"规则编号“{part.id}”应以 {scheme.id} 加数字开头，例如 {scheme.id}4.1",
            )
        if part.id in seen:
            yield f"{path}.id", f"规则编号“{part.id}”重复，请另编一个"
        seen.add(part.id)


def _labels(scheme: Scheme) -> Iterator[SchemeViolation]:
    for path, part in parts(scheme):
        if hasattr(part, "label") and not part.label.strip():
            yield f"{path}.label", "名称不能为空，请填写 label"


def _uniques(scheme: Scheme) -> Iterator[SchemeViolation]:
    yield from _repeated("categories", "key", scheme.categories)
    yield from _repeated("instruments", "key", scheme.instruments)
    yield from _repeated("components", "key", scheme.components)
    yield from _repeated("objects", "key", scheme.objects)
    yield from _repeated("grades", "key", scheme.grades)
    yield from _repeated("listed_units", "no", scheme.listed_units)
    yield from _repeated("listed_units", "name", scheme.listed_units)
    yield from _repeated("options", "no", scheme.options)
    yield from _repeated("options", "code", scheme.options)
    for index, one in enumerate(scheme.instruments):
        yield from _repeated(f"instruments[{index}].items", "no", one.items)
        if isinstance(one, Questionnaire):
            yield from _repeated(f"instruments[{index}].groups", "key", one.groups)
        if isinstance(one, Checklist):
            yield from _repeated(f"instruments[{index}].items", "id", one.items)
    for name in ("not_accepted_reasons", "return_reasons", "pause_reasons"):
        yield from _repeated(f"case_rules.{name}", "code", getattr(scheme.case_rules, name))


def _repeated(path: str, field: str, listed: Iterable[SchemePart]) -> Iterator[SchemeViolation]:
    seen: set[object] = set()
    for index, one in enumerate(listed):
        value = getattr(one, field)
        if value in seen:
            yield f"{path}[{index}].{field}", f"{field}“{value}”重复，同一列表内不能有两个"
        seen.add(value)


def _filled(scheme: Scheme) -> Iterator[SchemeViolation]:
    for name in ("categories", "options", "instruments", "components"):
        if not getattr(scheme, name):
            yield name, f"{name} 不能为空，至少要有一项"
    for index, one in enumerate(scheme.instruments):
        if not one.items:
            yield f"instruments[{index}].items", "至少要有一个项目"
        elif not isinstance(one, Checklist) and one.items[0].no != 1:
            yield (
                f"instruments[{index}].items[0].no",
                "第一题的编号应为 1：样本量按总体评价这一题计算",
            )
        if isinstance(one, Questionnaire) and not one.groups:
            yield f"instruments[{index}].groups", "至少要有一个评议主体"


def _dates(scheme: Scheme) -> Iterator[SchemeViolation]:
    if scheme.period.ends <= scheme.period.begins:
        yield "period.ends", f"结束日期 {scheme.period.ends} 应晚于开始日期 {scheme.period.begins}"
    for index, stage in enumerate(scheme.stages):
        if stage.ends < stage.begins:
            yield f"stages[{index}].ends", f"阶段“{stage.label}”的结束日期早于开始日期"
        if not scheme.period.begins <= stage.begins <= stage.ends <= scheme.period.ends:
            yield (
                f"stages[{index}].begins",
                f"阶段“{stage.label}”超出评议期 {_period(scheme)}，请改阶段或评议期",
            )
    for index, obligation in enumerate(scheme.obligations):
        if not scheme.period.begins <= obligation.due <= scheme.period.ends:
            yield (
                f"obligations[{index}].due",
                f"“{obligation.label}”的截止日期 {obligation.due} 不在评议期 {_period(scheme)} 内",
            )
        if list(obligation.remind) != sorted(set(obligation.remind), reverse=True) or any(
            day < 0 for day in obligation.remind
        ):
            yield f"obligations[{index}].remind", "提醒日应为从大到小的工作日数，例如 [5, 1]"


def _period(scheme: Scheme) -> str:
    return f"{scheme.period.begins} 至 {scheme.period.ends}"


def _stage_names(scheme: Scheme) -> Iterator[SchemeViolation]:
    known = {stage.id for stage in scheme.stages}
    for index, one in enumerate(scheme.instruments):
        for at, stage in enumerate(one.stages):
            if stage not in known:
                yield (
                    f"instruments[{index}].stages[{at}]",
                    f"没有编号为“{stage}”的阶段，请改为 stages 中的编号",
                )


def _options(scheme: Scheme) -> Iterator[SchemeViolation]:
    for index, option in enumerate(scheme.options):
        if not 1 <= option.no <= 99:
            yield f"options[{index}].no", f"选项编号应在 1 至 99 之间，现为 {option.no}"
        if option.points is not None and not 0 <= option.points <= HUNDRED:
            yield (
                f"options[{index}].points",
                f"选项分值应在 0 至 100 之间，现为 {option.points}；不计入的写 null",
            )
    if not any(option.counts for option in scheme.options):
        yield "options", "至少要有一个计分的选项"
    if "dissatisfaction_rate" in scheme.ranking.ties and DISSATISFIED not in {
        one.code for one in scheme.options
    }:
        yield "options", f"同分按不满意率排名，需要一个 code 为 {DISSATISFIED} 的选项"


def _amounts(scheme: Scheme) -> Iterator[SchemeViolation]:
    for index, one in enumerate(scheme.instruments):
        for at, item in enumerate(one.items):
            path = f"instruments[{index}].items[{at}]"
            amount = getattr(item, "amount", None)
            if amount is not None and not 0 < amount <= HUNDRED:
                yield f"{path}.amount", f"扣分应大于 0、不超过 100，现为 {amount}"
            if getattr(item, "weight", Decimal(1)) <= 0:
                yield f"{path}.weight", "权重应大于 0"
        for at, group in enumerate(getattr(one, "groups", ())):
            if group.weight <= 0:
                yield f"instruments[{index}].groups[{at}].weight", "权重应大于 0"


def _catalogue(scheme: Scheme) -> Iterator[SchemeViolation]:
    listed = [
        (h, i, item)
        for h, head in enumerate(scheme.catalogue.heads)
        for i, item in enumerate(head.items)
    ]
    counted = Counter(item.id for *_, item in listed)
    for h, i, item in listed:
        if counted[item.id] > 1:
            yield (
                f"catalogue.heads[{h}].items[{i}].id",
                f"问题编号“{item.id}”重复，请改为不同的编号",
            )
    if not listed:
        yield "catalogue.heads", "问题目录不能为空"
    for index, one in enumerate(scheme.instruments):
        for at, check_item in enumerate(one.items if isinstance(one, Checklist) else ()):
            if check_item.problem not in counted:
                path = f"instruments[{index}].items[{at}].problem"
                yield path, f"问题目录中没有“{check_item.problem}”，请填目录里的编号"


def _weights(scheme: Scheme) -> Iterator[SchemeViolation]:
    for index, one in enumerate(scheme.components):
        if not 0 < one.weight <= HUNDRED:
            yield f"components[{index}].weight", f"权重应大于 0、不超过 100，现为 {one.weight}"
        if -int(one.weight.as_tuple().exponent) > 2:
            yield f"components[{index}].weight", f"权重最多两位小数，现为 {one.weight}"
    total = sum((one.weight for one in scheme.components), Decimal(0))
    if scheme.components and total != HUNDRED:
        yield "components", f"各项权重合计应为 100，现为 {total}，请调整"


def _formulas(scheme: Scheme) -> Iterator[SchemeViolation]:
    used: set[str] = set()
    for index, one in enumerate(scheme.components):
        path, formula = f"components[{index}].formula", one.formula
        if isinstance(formula, SatisfactionFormula):
            used |= set(formula.instruments)
            for at, key in enumerate(formula.instruments):
                yield from _is_a(
                    Questionnaire, scheme, f"{path}.instruments[{at}]", key, "问卷（questionnaire）"
                )
        elif isinstance(formula, InspectionFormula):
            used.add(formula.instrument)
            yield from _is_a(
                Checklist, scheme, f"{path}.instrument", formula.instrument, "检查表（checklist）"
            )
            if (
                not 0
                < formula.severities.minor
                <= formula.severities.ordinary
                <= formula.severities.serious
            ):
                yield f"{path}.severities", "系数应大于 0，且轻微不高于一般、一般不高于严重"
        elif isinstance(formula, ScoreSheetFormula):
            used.add(formula.instrument)
            yield from _is_a(
                ScoreSheet,
                scheme,
                f"{path}.instrument",
                formula.instrument,
                "评分表（score_sheet）",
            )
        elif isinstance(formula, HandlingFormula):
            yield from _shares(path, formula)
        if formula.minimum < 1:
            yield f"{path}.minimum", f"最小样本应不小于 1，现为 {formula.minimum}"
    for index, instrument in enumerate(scheme.instruments):
        if instrument.key not in used and getattr(instrument, "scored", True):
            yield (
                f"instruments[{index}].key",
                f"没有哪项得分用到“{instrument.key}”，请在 components 中引用或删去",
            )


def _is_a(
    kind: type[Instrument], scheme: Scheme, path: str, key: str, name: str
) -> Iterator[SchemeViolation]:
    if not isinstance(scheme.instrument(key), kind):
        yield path, f"没有名为“{key}”的{name}，请改为 instruments 中的 key"


def _shares(path: str, formula: HandlingFormula) -> Iterator[SchemeViolation]:
    shares = (formula.accepted_on_time, formula.handled_on_time, formula.rated)
    if min(shares) < 0 or sum(shares) != HUNDRED:
        yield path, f"按期签收、按期办结、群众评价三项占比合计应为 100，现为 {sum(shares)}"


def _adjustments(scheme: Scheme) -> Iterator[SchemeViolation]:
    targets = {"total"} | {one.key for one in scheme.components}
    for name in ("deductions", "bonuses"):
        for index, one in enumerate(getattr(scheme, name)):
            path = f"{name}[{index}]"
            if not 0 < one.amount <= HUNDRED:
                yield f"{path}.amount", f"分值应大于 0、不超过 100（写正数），现为 {one.amount}"
            if one.cap is not None and one.cap < one.amount:
                yield f"{path}.cap", f"上限 {one.cap} 低于单次分值 {one.amount}"
            if one.of not in targets:
                yield f"{path}.of", f"of 应为 total 或某项得分的 key，现为“{one.of}”"
            yield from _narrowed(path, one)


def _narrowed(path: str, one: Adjustment) -> Iterator[SchemeViolation]:
    if (one.event == "deadline_lapsed") != (one.deadline is not None):
        yield f"{path}.event", "超期扣分要写明 deadline（哪个环节），其他扣分不写"
    if one.deadline is not None and one.deadline not in (*REQUIRED_STAGES, "supervise", "rectify"):
        yield (
            f"{path}.deadline",
            f"没有“{one.deadline}”这个环节，应为 assign、accept、handle、review、supervise 或 rectify",
        )
    if (one.event == "finding") != (one.severity is not None):
        yield (
            f"{path}.event",
            "检查发现问题要写明 severity（minor、ordinary 或 serious），其他扣分不写",
        )
    if one.after < 0:
        yield f"{path}.after", "after 不能为负数"


def _cases(scheme: Scheme) -> Iterator[SchemeViolation]:
    rules = scheme.case_rules
    for stage in REQUIRED_STAGES:
        missing = [
            (k, u)
            for k in ComplaintKind
            for u in Urgency
            if not any(one.fits(stage, k, u) for one in rules.limits)
        ]
        if missing:
            kind, urgency = missing[0]
            yield (
                "case_rules.limits",
                f"环节 {stage} 没有规定 {kind.value}/{urgency.value} 的时限，请补一条",
            )
    for index, one in enumerate(rules.limits):
        earlier = rules.limits[:index]
        reached = [(k, u) for k in ComplaintKind for u in Urgency if one.fits(one.stage, k, u)]
        if all(any(other.fits(one.stage, k, u) for other in earlier) for k, u in reached):
            yield (
                f"case_rules.limits[{index}].id",
                f"“{one.label}”永远用不到：前面的规定已经全部覆盖，请调整顺序",
            )
    if not rules.extension.approvers:
        yield "case_rules.extension.approvers", "延期至少要有一个批准人"
    yield from _roles(scheme)
    for name in ("not_accepted_reasons", "return_reasons"):
        if not getattr(rules, name):
            yield f"case_rules.{name}", "至少要有一个理由"


def _roles(scheme: Scheme) -> Iterator[SchemeViolation]:
    named = [
        (f"case_rules.extension.approvers[{i}]", role)
        for i, role in enumerate(scheme.case_rules.extension.approvers)
    ]
    named += [("case_rules.returning.decider", scheme.case_rules.returning.decider)]
    named += [("publication.approver", scheme.publication.approver)]
    for path, role in named:
        if role not in ROLES:
            yield path, f"没有“{role}”这个角色，应为 {'、'.join(ROLES)} 之一"


def _results(scheme: Scheme) -> Iterator[SchemeViolation]:
    if scheme.ranking.minimum_sample < 0:
        yield "ranking.minimum_sample", "最小样本不能为负数"
    if not 0 <= scheme.ranking.decimals <= 6:
        yield "ranking.decimals", "小数位数应在 0 至 6 之间"
    if [one.at_least for one in scheme.grades] != sorted(
        {one.at_least for one in scheme.grades}, reverse=True
    ):
        yield "grades", "等次应从高到低排列，分数线各不相同"
    if scheme.grades and scheme.grades[-1].at_least != 0:
        yield f"grades[{len(scheme.grades) - 1}].at_least", "最后一个等次应从 0 分起"
    for name in ("awards", "listed_units"):
        for index, one in enumerate(getattr(scheme, name)):
            if scheme.category(one.category) is None:
                yield (
                    f"{name}[{index}].category",
                    f"没有名为“{one.category}”的类别，请改为 categories 中的 key",
                )
    for index, one in enumerate(scheme.consequences):
        if one.by_decision == (one.last is not None or one.grade is not None):
            yield (
                f"consequences[{index}]",
                "应写 last（末几位）或 grade（等次）之一；都不写时应为 by_decision: true",
            )
        if one.last is not None and one.last < 1:
            yield f"consequences[{index}].last", "last 应不小于 1"
        if not 1 <= one.years <= 5:
            yield f"consequences[{index}].years", "years（连续年数）应在 1 至 5 之间"
        if one.grade is not None and one.grade not in {grade.key for grade in scheme.grades}:
            yield f"consequences[{index}].grade", f"没有“{one.grade}”这个等次"


CHECKS: tuple[Callable[[Scheme], Iterator[SchemeViolation]], ...] = (
    _ids,
    _labels,
    _uniques,
    _filled,
    _dates,
    _stage_names,
    _options,
    _amounts,
    _catalogue,
    _weights,
    _formulas,
    _adjustments,
    _cases,
    _results,
)
