"""Request, approve, refuse, withdraw and expire."""

from typing import Any, Final
from uuid import UUID

import msgspec

from shared.appraisal.errors import Rejected
from shared.security.approvals import store
from shared.security.approvals.domain import (
    COMMAND_LINE,
    COMMAND_LINE_NAME,
    Approval,
    ApprovalState,
    NewRequest,
    PayloadT,
    check_other_person,
    check_pending,
    check_reason,
)
from shared.security.approvals.kinds import ApprovalKind, ApprovalKinds, Granted
from shared.security.pii import mask_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

CHANGED: Final = "申请之后情况已经变化，不能照原申请批准；请申请人撤回后重新提出"


async def request_approval(
    tx: Transaction,
    kind: ApprovalKind[PayloadT],
    wanted: NewRequest[PayloadT],
    *,
    by: Account | None,
) -> UUID:
    """Request an act and return the id of the request. `by` None: the command line.

    Raises Rejected: 403 for a role that may not request it, 422 for a reason that says nothing,
    409 if the same request already waits, and as `kind.basis` does.
    """
    if by is not None and not kind.may_request(by):
        raise Rejected(f"您没有申请{kind.label}的权限", status=403)
    requester = str(by.id) if by else COMMAND_LINE
    previous = await store.previous_reason(
        tx, kind=kind.key, requested_by=requester, subject=wanted.subject
    )
    check_reason(wanted.reason, previous=previous)
    approval = await _new_approval(tx, kind, wanted, by)
    if not await store.insert(tx, approval):
        raise Rejected("同样的申请正在等待审批，不必重复提出")
    tx.audit("approval.requested", wanted.subject, requester, **_entry(kind, approval, wanted))
    return approval.id


async def _new_approval(
    tx: Transaction,
    kind: ApprovalKind[PayloadT],
    wanted: NewRequest[PayloadT],
    by: Account | None,
) -> Approval:
    return Approval(
        id=new_id(),
        kind=kind.key,
        subject=wanted.subject,
        payload=msgspec.json.encode(wanted.payload).decode(),
        basis=await kind.basis(tx, wanted.subject, wanted.payload),
        facts=list(await kind.facts(tx, wanted.subject, wanted.payload)),
        reason=mask_pii(wanted.reason.strip()),
        requested_by=str(by.id) if by else COMMAND_LINE,
        requester_name=by.display_name if by else COMMAND_LINE_NAME,
        requested_at=tx.now,
        expires_at=tx.now + kind.expires_after,
        state=ApprovalState.PENDING,
        decided_by=None,
        decider_name=None,
        decided_at=None,
        decision_reason=None,
    )


def _entry(
    kind: ApprovalKind[Any],
    approval: Approval,
    wanted: NewRequest[Any],
) -> dict[str, Any]:
    facts = {name: getattr(wanted.payload, name) for name in kind.audited}
    return {"request": str(approval.id), "kind": kind.key, "reason": approval.reason, **facts}


async def approve(
    tx: Transaction,
    kinds: ApprovalKinds,
    approval_id: UUID,
    *,
    by: Account,
) -> Approval:
    """Carry out what another person requested, and return the request.

    Raises Rejected: 404 unknown or not to be read by this account, 403 for the requester and whom
    it favours, 409 if it was decided, has expired or its subject has changed, and as `kind.apply`
    does.
    """
    approval = await _lock_readable(tx, kinds, approval_id, by)
    kind = kinds.get(approval.kind)
    _check_approver(kind, approval, by)
    check_pending(approval, tx.now)
    payload = kind.decode(approval)
    if await kind.basis(tx, approval.subject, payload) != approval.basis:
        raise Rejected(CHANGED)
    await kind.apply(tx, Granted(approval=approval, payload=payload, approver=by))
    await _decide(tx, approval, ApprovalState.APPROVED, by=by)
    return approval


async def refuse(
    tx: Transaction,
    kinds: ApprovalKinds,
    approval_id: UUID,
    *,
    reason: str,
    by: Account,
) -> Approval:
    """Refuse what another person requested.

    Raises Rejected as `approve` does, and 422 for a reason that says nothing.
    """
    approval = await _lock_readable(tx, kinds, approval_id, by)
    _check_approver(kinds.get(approval.kind), approval, by)
    check_pending(approval, tx.now)
    check_reason(reason)
    await _decide(tx, approval, ApprovalState.REFUSED, by=by, reason=mask_pii(reason.strip()))
    return approval


async def withdraw(
    tx: Transaction,
    approval_id: UUID,
    *,
    by: Account,
) -> Approval:
    """Withdraw one's own request. Raises Rejected: 404 unknown or of somebody else, 409 decided."""
    approval = await _lock(tx, approval_id)
    if approval.requested_by != str(by.id):
        raise _unknown()
    check_pending(approval, tx.now)
    await _decide(tx, approval, ApprovalState.WITHDRAWN, by=by)
    return approval


async def expire_overdue(tx: Transaction) -> bool:
    """Mark requests that nobody decided in time; return whether there may be more."""
    overdue = await store.lock_overdue(tx, tx.now)
    for approval_id, kind, subject in overdue:
        await store.decide(
            tx, approval_id, ApprovalState.EXPIRED, by=COMMAND_LINE, name=COMMAND_LINE_NAME
        )
        tx.audit("approval.expired", subject, COMMAND_LINE, request=str(approval_id), kind=kind)
    return len(overdue) == store.EXPIRED_MAX


async def _lock_readable(
    tx: Transaction,
    kinds: ApprovalKinds,
    approval_id: UUID,
    by: Account,
) -> Approval:
    """Return a request that the account may read; one that it may not read is unknown to it."""
    approval = await _lock(tx, approval_id)
    if not kinds.may_read(approval, by):
        raise _unknown()
    return approval


async def _lock(tx: Transaction, approval_id: UUID) -> Approval:
    approval = await store.lock(tx, approval_id)
    if approval is None:
        raise _unknown()
    return approval


def _unknown() -> Rejected:
    return Rejected("没有这项申请", status=404)


def _check_approver(kind: ApprovalKind[Any], approval: Approval, by: Account) -> None:
    if by.role not in kind.approvers:
        raise Rejected(f"您没有审批{kind.label}的权限", status=403)
    check_other_person(approval, by)
    if not kind.may_approve(approval, by):
        raise Rejected("这项申请涉及您本人，请由另一人审批", status=403)


async def _decide(
    tx: Transaction,
    approval: Approval,
    state: ApprovalState,
    *,
    by: Account,
    reason: str = "",
) -> None:
    await store.decide(tx, approval.id, state, by=str(by.id), name=by.display_name, reason=reason)
    tx.audit(
        f"approval.{state}",
        approval.subject,
        str(by.id),
        request=str(approval.id),
        kind=approval.kind,
        requested_by=approval.requested_by,
        reason=reason or None,
    )
