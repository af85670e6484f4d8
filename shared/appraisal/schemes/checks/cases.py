"""Checks of the rules for handling cases and of the roles that a scheme names."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from shared.appraisal.labels import CaseStage, ComplaintKind, Role, Urgency
from shared.appraisal.schemes.case_rules import CaseLimit
from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
from shared.appraisal.schemes.scheme import Scheme

REQUIRED_STAGES: Final = (
    CaseStage.RELEASE,
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
    yield from _unreachable_limits(rules.limits)
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


def _unreachable_limits(limits: Sequence[CaseLimit]) -> Iterator[SchemeViolation]:
    for index, limit in enumerate(limits):
        if _is_unreachable(limit, limits[:index]):
            sentence = f"“{limit.label}”永远用不到：前面的规定已经全部覆盖，请调整顺序"
            yield f"case_rules.limits[{index}].id", sentence


def _is_unreachable(limit: CaseLimit, earlier: Sequence[CaseLimit]) -> bool:
    covered = {case for other in earlier for case in _cases_of(other, limit.stage)}
    return covered.issuperset(_cases_of(limit, limit.stage))


def _cases_of(limit: CaseLimit, stage: CaseStage) -> list[tuple[ComplaintKind, Urgency]]:
    return [case for case in COMBINATIONS if limit.fits(stage, *case)]


def _unknown_roles(scheme: Scheme) -> Iterator[SchemeViolation]:
    for path, role in _named_roles(scheme):
        if role not in set(Role):
            yield path, f"没有“{role}”这个角色，应为 {'、'.join(Role)} 之一"


def _named_roles(scheme: Scheme) -> Iterator[tuple[str, str]]:
    rules = scheme.case_rules
    yield from with_paths("case_rules.extension.approvers", rules.extension.approvers)
    yield "case_rules.returning.decider", rules.returning.decider
    yield "publication.approver", scheme.publication.approver
