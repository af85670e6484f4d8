"""延期: when an extension may be requested, who approves it, and what it adds."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.casework.domain.deadlines import DeadlineTerms
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import LabelledEnum, Role
from shared.appraisal.schemes import CaseRules


class ExtensionState(LabelledEnum):
    """What became of a request. It `lapsed` if the result was submitted before a decision."""

    REQUESTED = "requested", "审批中"
    APPROVED = "approved", "已批准"
    REFUSED = "refused", "未批准"
    LAPSED = "lapsed", "已失效"

    @property
    def counts(self) -> bool:
        """The request counts against the number that the scheme allows."""
        return self in (ExtensionState.REQUESTED, ExtensionState.APPROVED)


def check_extension(
    amount: int,
    requested_before: int,
    *,
    due: datetime,
    now: datetime,
    rules: CaseRules,
) -> None:
    """Raise Rejected unless an extension of `amount` may be requested now.

    Requests are accepted before the lapse, up to the cap, as often as the rule allows (功能 4.3).
    """
    rule = rules.extension
    if now >= due:
        raise Rejected("办理期限已过，不能再申请延期")
    if requested_before >= rule.times:
        raise Rejected(f"延期最多 {rule.times} 次，本件已申请过")
    if not 1 <= amount <= rule.limit.amount:
        raise Rejected(f"延期最多 {rule.limit.text}", status=422, field="amount")


def role_names(roles: Iterable[str]) -> str:
    """Return the names of roles as a sentence lists them."""
    return "、".join(Role(role).label for role in roles)


def extend_terms(
    terms: DeadlineTerms,
    amount: int,
    rule: TimeLimit,
) -> DeadlineTerms:
    """Return the terms extended by `amount`, in the unit of the extension's rule."""
    before = terms.extension.amount if terms.extension else 0
    extension = TimeLimit(before + amount, rule.unit, rule.closes, rule.roll)
    return DeadlineTerms(terms.limit, extension)


def missing_approvals(rules: CaseRules, given: Sequence[str]) -> list[str]:
    """Return the roles that have not approved yet, in the order of the rule."""
    return [role for role in rules.extension.approvers if role not in given]
