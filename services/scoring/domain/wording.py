"""Ledger entries and numbers as a person reads them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

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
_MEASURES: Final[Mapping[str, str]] = {
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
_DECISIONS: Final[Mapping[str, str]] = {"decision": "认定", "revoked": "撤销认定"}


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
    if measure == "deadline_lapsed":
        return f"{_DEADLINES.get(detail, detail)}超期"
    if measure == "finding":
        return f"检查发现{Severity(detail).label}问题：{text}"
    if measure == "obligation_lapsed":
        return f"{text}逾期"
    if measure in _DECISIONS:
        rule = scheme.rule(detail)
        return f"{_DECISIONS[measure]}：{rule.label if rule else detail}"
    return _MEASURES[measure]
