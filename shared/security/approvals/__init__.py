"""双人审批: one person requests a consequential act, another approves it, and only then it happens.

A service lists its kinds of acts (`ApprovalKinds`); an action that must not happen by one person
alone ends in `request_approval`, and the kind's `apply` carries it out. The effect, the decision
and the audit entries commit together, at most once.
"""

from shared.security.approvals.actions import (
    approve,
    expire_overdue,
    refuse,
    request_approval,
    withdraw,
)
from shared.security.approvals.domain import (
    Approval,
    ApprovalState,
    Fact,
    NewRequest,
    check_reason,
)
from shared.security.approvals.kinds import ApprovalKind, ApprovalKinds, Granted

__all__ = [
    "Approval",
    "ApprovalKind",
    "ApprovalKinds",
    "ApprovalState",
    "Fact",
    "Granted",
    "NewRequest",
    "approve",
    "check_reason",
    "expire_overdue",
    "refuse",
    "request_approval",
    "withdraw",
]
