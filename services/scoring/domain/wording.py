"""Ledger entries and numbers as a person reads them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from services.scoring.domain.ledger import MEASURES
from shared.appraisal.labels import CaseStage, Severity
from shared.appraisal.schemes import Scheme

FORMULAS: Final[Mapping[str, str]] = {
    "satisfaction": "问卷满意度",
    "inspection": "检查扣分",
    "handling": "办理情况",
    "scoring": "评分表",
}
TIES: Final[Mapping[str, str]] = {
    "dissatisfaction_rate": "不满意率",
    "findings": "检查发现问题数",
    "late_cases": "超期办件数",
}
_DEADLINES: Final = dict(CaseStage.choices())


def plain(number: Decimal) -> str:
    """Return a number without trailing zeros: 100, 0.5."""
    return f"{number.normalize():f}"


def describe_entry(
    scheme: Scheme,
    measure: str,
    number: str,
    detail: str,
    text: str,
) -> str:
    """Return a ledger entry in words, such as `V-0193 检查发现一般问题：窗口无人在岗`."""
    return f"{number} {_describe(scheme, measure, detail, text)}".strip()


def _describe(
    scheme: Scheme,
    measure: str,
    detail: str,
    text: str,
) -> str:
    label = MEASURES[measure].label
    if measure == "deadline_lapsed":
        return f"{_DEADLINES.get(detail, detail)}{label}"
    if measure == "finding":
        return f"{label}{Severity(detail).label}问题：{text}"
    if measure == "obligation_lapsed":
        return f"{text}{label}"
    if measure in ("decision", "revoked"):
        rule = scheme.rule(detail)
        return f"{label}：{rule.label if rule else detail}"
    return label
