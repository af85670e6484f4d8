"""Checks of ranking, grades, awards and consequences."""

from collections.abc import Iterator
from typing import Final

from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
from shared.appraisal.schemes.results import Consequence
from shared.appraisal.schemes.scheme import Scheme
from shared.appraisal.small_cells import STEP

DECIMALS_MAX: Final = 6
YEARS_MAX: Final = 5


def check_results(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Results can be computed and refer to categories and grades that exist."""
    yield from _ranking_violations(scheme)
    yield from _grade_violations(scheme)
    yield from _unknown_categories(scheme)
    if scheme.publication.small_group < STEP:
        yield "publication.small_group", f"至少为 {STEP}，否则会看出少数人的评价"
    grades = {grade.key for grade in scheme.grades}
    for path, consequence in with_paths("consequences", scheme.consequences):
        yield from _consequence_violations(path, consequence, grades)


def _ranking_violations(scheme: Scheme) -> Iterator[SchemeViolation]:
    if scheme.ranking.minimum_sample < 0:
        yield "ranking.minimum_sample", "最小样本不能为负数"
    if not 0 <= scheme.ranking.decimals <= DECIMALS_MAX:
        yield "ranking.decimals", f"小数位数应在 0 至 {DECIMALS_MAX} 之间"


def _grade_violations(scheme: Scheme) -> Iterator[SchemeViolation]:
    bounds = [grade.at_least for grade in scheme.grades]
    if bounds != sorted(set(bounds), reverse=True):
        yield "grades", "等次应从高到低排列，分数线各不相同"
    if bounds and bounds[-1] != 0:
        yield f"grades[{len(bounds) - 1}].at_least", "最后一个等次应从 0 分起"


def _unknown_categories(scheme: Scheme) -> Iterator[SchemeViolation]:
    for name in ("awards", "listed_units"):
        for path, entry in with_paths(name, getattr(scheme, name)):
            if scheme.category(entry.category) is None:
                sentence = f"没有名为“{entry.category}”的类别，请改为 categories 中的 key"
                yield f"{path}.category", sentence


def _consequence_violations(
    path: str,
    consequence: Consequence,
    grades: set[str],
) -> Iterator[SchemeViolation]:
    last = consequence.last
    grade = consequence.grade
    if consequence.by_decision == (last is not None or grade is not None):
        yield path, "应写 last（末几位）或 grade（等次）之一；都不写时应为 by_decision: true"
    if last is not None and last < 1:
        yield f"{path}.last", "last 应不小于 1"
    if not 1 <= consequence.years <= YEARS_MAX:
        yield f"{path}.years", f"years（连续年数）应在 1 至 {YEARS_MAX} 之间"
    if grade is not None and grade not in grades:
        yield f"{path}.grade", f"没有“{grade}”这个等次"
