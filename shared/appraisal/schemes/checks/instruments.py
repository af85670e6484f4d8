"""Checks of options, checklist amounts and the problem catalogue."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from shared.appraisal.schemes.base import SchemePart
from shared.appraisal.schemes.checks.violation import SchemeViolation
from shared.appraisal.schemes.instruments import (
    CheckItem,
    Checklist,
    Option,
    Questionnaire,
    ScoreSheetItem,
)
from shared.appraisal.schemes.questions import Question
from shared.appraisal.schemes.scheme import Scheme

HUNDRED: Final = Decimal(100)
OPTION_NO_MAX: Final = 99
DISSATISFIED: Final = "dissatisfied"


def check_options(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Options have usable numbers and points, and the one that ranking needs exists."""
    for index, option in enumerate(scheme.options):
        yield from _option_violations(f"options[{index}]", option)
    if not any(option.counts for option in scheme.options):
        yield "options", "至少要有一个计分的选项"
    codes = {option.code for option in scheme.options}
    if "dissatisfaction_rate" in scheme.ranking.ties and DISSATISFIED not in codes:
        yield "options", f"同分按不满意率排名，需要一个 code 为 {DISSATISFIED} 的选项"


def _option_violations(path: str, option: Option) -> Iterator[SchemeViolation]:
    if not 1 <= option.no <= OPTION_NO_MAX:
        yield f"{path}.no", f"选项编号应在 1 至 {OPTION_NO_MAX} 之间，现为 {option.no}"
    if option.points is not None and not 0 <= option.points <= HUNDRED:
        sentence = f"选项分值应在 0 至 100 之间，现为 {option.points}；不计入的写 null"
        yield f"{path}.points", sentence


def check_amounts(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Deductions of checklist items and weights of questions and groups are positive."""
    for index, instrument in enumerate(scheme.instruments):
        for position, item in enumerate(instrument.items):
            yield from _item_violations(f"instruments[{index}].items[{position}]", item)
        for position, group in enumerate(getattr(instrument, "groups", ())):
            if group.weight <= 0:
                yield f"instruments[{index}].groups[{position}].weight", "权重应大于 0"


def _item_violations(path: str, item: SchemePart) -> Iterator[SchemeViolation]:
    if isinstance(item, CheckItem):
        if not 0 < item.amount <= HUNDRED:
            yield f"{path}.amount", f"扣分应大于 0、不超过 100，现为 {item.amount}"
    elif isinstance(item, Question | ScoreSheetItem) and item.weight <= 0:
        yield f"{path}.weight", "权重应大于 0"


def check_questions(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Every question fits its kind, and the overall question offers the scheme's options."""
    for index, instrument in enumerate(scheme.instruments):
        if isinstance(instrument, Questionnaire):
            yield from _question_violations(f"instruments[{index}].items", instrument, scheme)


def _question_violations(
    path: str, questionnaire: Questionnaire, scheme: Scheme
) -> Iterator[SchemeViolation]:
    for position, question in enumerate(questionnaire.items):
        for field, sentence in question.violations(scheme):
            yield f"{path}[{position}].{field}", sentence
    first = questionnaire.items[0] if questionnaire.items else None
    if questionnaire.scored and first is not None and first.kind_label != "单选":
        yield f"{path}[0].kind", "第一题是总体评价，应为单选题：样本量和不满意率按它计算"


def check_catalogue(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Catalogue ids are unique, and checklist items refer to entries that exist."""
    headings = scheme.catalogue.heads
    counts = Counter(item.id for heading in headings for item in heading.items)
    for index, heading in enumerate(headings):
        for position, item in enumerate(heading.items):
            if counts[item.id] > 1:
                path = f"catalogue.heads[{index}].items[{position}].id"
                yield path, f"问题编号“{item.id}”重复，请改为不同的编号"
    if not counts:
        yield "catalogue.heads", "问题目录不能为空"
    for index, instrument in enumerate(scheme.instruments):
        if isinstance(instrument, Checklist):
            yield from _unknown_problems(f"instruments[{index}]", instrument, set(counts))


def _unknown_problems(
    path: str, checklist: Checklist, known: set[str]
) -> Iterator[SchemeViolation]:
    for position, item in enumerate(checklist.items):
        if item.problem not in known:
            sentence = f"问题目录中没有“{item.problem}”，请填目录里的编号"
            yield f"{path}.items[{position}].problem", sentence
