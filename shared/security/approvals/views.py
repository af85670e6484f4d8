"""What the page 双人审批 shows to an account."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.security.approvals import store
from shared.security.approvals.domain import Approval, significant
from shared.security.approvals.kinds import ApprovalKinds
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLine:
    """A request as one account sees it. `result_url`: where its requester sees the result."""

    approval: Approval
    label: str
    is_own: bool
    may_decide: bool
    result_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLists:
    """Requests that wait for an account, its own requests, and decisions."""

    waiting: Sequence[ApprovalLine]
    own: Sequence[ApprovalLine]
    decided: Sequence[ApprovalLine]


async def approval_lists(
    tx: Transaction,
    kinds: ApprovalKinds,
    user: Account,
) -> ApprovalLists:
    """Return the three lists of the page."""
    approved_by = kinds.approved_by(user.role)
    own = await store.requested_by(tx, user.id)
    decided = await store.decided(tx, approved_by, requested_by=user.id)
    return ApprovalLists(
        waiting=await waiting_for(tx, kinds, user),
        own=[_line(tx, kinds, user, approval) for approval in own],
        decided=[_line(tx, kinds, user, approval) for approval in decided],
    )


async def waiting_for(
    tx: Transaction,
    kinds: ApprovalKinds,
    user: Account,
) -> list[ApprovalLine]:
    """Return the requests on which the account may decide."""
    pending = await store.pending(tx, kinds.approved_by(user.role))
    lines = [_line(tx, kinds, user, approval) for approval in pending]
    return [line for line in lines if line.may_decide]


async def approval_line(
    tx: Transaction,
    kinds: ApprovalKinds,
    approval_id: UUID,
    user: Account,
) -> ApprovalLine | None:
    """Return one request, or None if the account may not read it."""
    approval = await store.find(tx, approval_id)
    if approval is None or not kinds.may_read(approval, user):
        return None
    return _line(tx, kinds, user, approval)


def _line(
    tx: Transaction,
    kinds: ApprovalKinds,
    user: Account,
    approval: Approval,
) -> ApprovalLine:
    kind = kinds.by_key.get(approval.kind)
    if kind is None:
        label = approval.kind
        return ApprovalLine(approval=approval, label=label, is_own=False, may_decide=False)
    is_own = approval.requested_by == str(user.id)
    has_own_name = significant(approval.requester_name) == significant(user.display_name)
    is_open = approval.is_pending(tx.now) and not has_own_name
    return ApprovalLine(
        approval=approval,
        label=kind.label,
        is_own=is_own,
        may_decide=is_open and kind.may_approve(approval, user),
        result_url=kind.result_url(approval) if is_own else "",
    )
