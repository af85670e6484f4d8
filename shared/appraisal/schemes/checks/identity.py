"""Checks of ids, labels, duplicates and empty lists."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from shared.appraisal.schemes.base import SchemePart, SchemeRule
from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
from shared.appraisal.schemes.instruments import Checklist, Instrument, Questionnaire
from shared.appraisal.schemes.scheme import Scheme, parts

REQUIRED_LISTS: Final = ("categories", "options", "instruments", "components")
UNIQUE_FIELDS: Final = (
    ("categories", "key"),
    ("instruments", "key"),
    ("components", "key"),
    ("objects", "key"),
    ("grades", "key"),
    ("listed_units", "no"),
    ("listed_units", "name"),
    ("options", "no"),
    ("options", "code"),
)
REASON_LISTS: Final = ("not_accepted_reasons", "return_reasons", "pause_reasons")


def check_rule_ids(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Rule ids begin with the scheme's id and are unique."""
    pattern = re.compile(rf"{re.escape(scheme.id)}\d+(\.[a-z0-9_]+)*")
    seen: set[str] = set()
    for path, id in _rule_ids(scheme):
        if not pattern.fullmatch(id):
            yield path, f"规则编号“{id}”应以 {scheme.id} 加数字开头，例如 {scheme.id}4.1"
        if id in seen:
            yield path, f"规则编号“{id}”重复，请另编一个"
        seen.add(id)


def _rule_ids(scheme: Scheme) -> Iterator[tuple[str, str]]:
    for path, part in parts(scheme):
        if isinstance(part, SchemeRule):
            yield f"{path}.id", part.id


def check_labels(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Every label has text."""
    for path, part in parts(scheme):
        if hasattr(part, "label") and not part.label.strip():
            yield f"{path}.label", "名称不能为空，请填写 label"


def check_unique(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Keys, numbers and codes are unique within their list."""
    for name, field in UNIQUE_FIELDS:
        yield from _repeated(name, field, getattr(scheme, name))
    for path, instrument in with_paths("instruments", scheme.instruments):
        yield from _repeated_in_instrument(path, instrument)
    for name in REASON_LISTS:
        yield from _repeated(f"case_rules.{name}", "code", getattr(scheme.case_rules, name))


def _repeated_in_instrument(path: str, instrument: Instrument) -> Iterator[SchemeViolation]:
    yield from _repeated(f"{path}.items", "no", instrument.items)
    if isinstance(instrument, Questionnaire):
        yield from _repeated(f"{path}.groups", "key", instrument.groups)
    if isinstance(instrument, Checklist):
        yield from _repeated(f"{path}.items", "id", instrument.items)


def _repeated(
    path: str,
    field: str,
    listed: Iterable[SchemePart],
) -> Iterator[SchemeViolation]:
    seen: set[object] = set()
    for at, part in with_paths(path, listed):
        value = getattr(part, field)
        if value in seen:
            yield f"{at}.{field}", f"{field}“{value}”重复，同一列表内不能有两个"
        seen.add(value)


def check_not_empty(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Lists that every scheme needs have entries; questions are numbered from 1."""
    for name in REQUIRED_LISTS:
        if not getattr(scheme, name):
            yield name, f"{name} 不能为空，至少要有一项"
    for path, instrument in with_paths("instruments", scheme.instruments):
        yield from _unfilled(path, instrument)


def _unfilled(path: str, instrument: Instrument) -> Iterator[SchemeViolation]:
    if not instrument.items:
        yield f"{path}.items", "至少要有一个项目"
    elif not isinstance(instrument, Checklist) and instrument.items[0].no != 1:
        yield f"{path}.items[0].no", "第一题的编号应为 1：样本量按总体评价这一题计算"
    if isinstance(instrument, Questionnaire) and not instrument.groups:
        yield f"{path}.groups", "至少要有一个评议主体"
