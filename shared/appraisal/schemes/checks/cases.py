"""Checks of the rules for handling cases and of the roles that a scheme names."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

from shared.appraisal.labels import CaseStage, ComplaintKind, Role, Urgency
from shared.appraisal.schemes.case_rules import CaseLimit
from shared.appraisal.schemes.checks.violation import SchemeViolation
from shared.appraisal.schemes.scheme import Scheme

REQUIRED_STAGES: Final = (
    CaseStage.ASSIGN,
    CaseStage.ACCEPT,
    CaseStage.HANDLE,
    CaseStage.REVIEW,
)
"""The stages of every case; each needs a limit for every kind and urgency."""
COMBINATIONS: Final = tuple(product(ComplaintKind, Urgency))


def check_case_rules(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Every stage has limits, every limit applies to some case, and reasons and roles exist."""
    rules = scheme.case_rules
    for stage in REQUIRED_STAGES:
        yield from _missing_limit(stage, rules.limits)
    for index, limit in enumerate(rules.limits):
        if _is_unreachable(limit, rules.limits[:index]):
            sentence = f"“{limit.label}”永远用不到：前面的规定已经全部覆盖，请调整顺序"
            yield f"case_rules.limits[{index}].id", sentence
    if not rules.extension.approvers:
        yield "case_rules.extension.approvers", "延期至少要有一个批准人"
    yield from _unknown_roles(scheme)
    for name in ("not_accepted_reasons", "return_reasons"):
        if not getattr(rules, name):
            yield f"case_rules.{name}", "至少要有一个理由"


def _missing_limit(stage: CaseStage, limits: Iterable[CaseLimit]) -> Iterator[SchemeViolation]:
    for kind, urgency in COMBINATIONS:
        if not any(limit.fits(stage, kind, urgency) for limit in limits):
            sentence = f"环节 {stage} 没有规定 {kind}/{urgency} 的时限，请补一条"
            yield "case_rules.limits", sentence
            return


def _is_unreachable(limit: CaseLimit, earlier: Iterable[CaseLimit]) -> bool:
    return all(
        any(other.fits(limit.stage, kind, urgency) for other in earlier)
        for kind, urgency in COMBINATIONS
        if limit.fits(limit.stage, kind, urgency)
    )


def _unknown_roles(scheme: Scheme) -> Iterator[SchemeViolation]:
    for path, role in _named_roles(scheme):
        if role not in set(Role):
            yield path, f"没有“{role}”这个角色，应为 {'、'.join(Role)} 之一"


def _named_roles(scheme: Scheme) -> Iterator[tuple[str, str]]:
    for index, role in enumerate(scheme.case_rules.extension.approvers):
        yield f"case_rules.extension.approvers[{index}]", role
    yield "case_rules.returning.decider", scheme.case_rules.returning.decider
    yield "publication.approver", scheme.publication.approver
