"""Checks of options, checklist amounts and the problem catalogue."""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from shared.appraisal.schemes.base import SchemePart
from shared.appraisal.schemes.catalogue import Catalogue
from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
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
    for path, option in with_paths("options", scheme.options):
        yield from _option_violations(path, option)
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
    for path, instrument in with_paths("instruments", scheme.instruments):
        for item_path, item in with_paths(f"{path}.items", instrument.items):
            yield from _item_violations(item_path, item)
        if isinstance(instrument, Questionnaire):
            yield from _group_violations(f"{path}.groups", instrument)


def _group_violations(path: str, questionnaire: Questionnaire) -> Iterator[SchemeViolation]:
    for at, group in with_paths(path, questionnaire.groups):
        if group.weight <= 0:
            yield f"{at}.weight", "权重应大于 0"


def _item_violations(path: str, item: SchemePart) -> Iterator[SchemeViolation]:
    if isinstance(item, CheckItem):
        if not 0 < item.amount <= HUNDRED:
            yield f"{path}.amount", f"扣分应大于 0、不超过 100，现为 {item.amount}"
    elif isinstance(item, Question | ScoreSheetItem) and item.weight <= 0:
        yield f"{path}.weight", "权重应大于 0"


def check_questions(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Every question fits its kind, and the overall question offers the scheme's options."""
    for path, instrument in with_paths("instruments", scheme.instruments):
        if isinstance(instrument, Questionnaire):
            yield from _question_violations(f"{path}.items", instrument, scheme)
            yield from _first_question_violations(f"{path}.items[0]", instrument)


def _question_violations(
    path: str,
    questionnaire: Questionnaire,
    scheme: Scheme,
) -> Iterator[SchemeViolation]:
    for at, question in with_paths(path, questionnaire.items):
        for field, sentence in question.violations(scheme):
            yield f"{at}.{field}", sentence


def _first_question_violations(
    path: str, questionnaire: Questionnaire
) -> Iterator[SchemeViolation]:
    first = next(iter(questionnaire.items), None)
    if questionnaire.scored and first is not None and first.kind_label != "单选":
        yield f"{path}.kind", "第一题是总体评价，应为单选题：样本量和不满意率按它计算"


def check_catalogue(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Catalogue ids are unique, and checklist items refer to entries that exist."""
    problems = dict(_problem_ids(scheme.catalogue))
    yield from _repeated_problems(problems)
    if not problems:
        yield "catalogue.heads", "问题目录不能为空"
    for path, instrument in with_paths("instruments", scheme.instruments):
        if isinstance(instrument, Checklist):
            yield from _unknown_problems(path, instrument, set(problems.values()))


def _problem_ids(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for path, heading in with_paths("catalogue.heads", catalogue.heads):
        for at, item in with_paths(f"{path}.items", heading.items):
            yield f"{at}.id", item.id


def _repeated_problems(problems: Mapping[str, str]) -> Iterator[SchemeViolation]:
    counts = Counter(problems.values())
    for path, id in problems.items():
        if counts[id] > 1:
            yield path, f"问题编号“{id}”重复，请改为不同的编号"


def _unknown_problems(
    path: str,
    checklist: Checklist,
    known: set[str],
) -> Iterator[SchemeViolation]:
    for at, item in with_paths(f"{path}.items", checklist.items):
        if item.problem not in known:
            yield f"{at}.problem", f"问题目录中没有“{item.problem}”，请填目录里的编号"
