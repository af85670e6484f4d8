"""双人审批 for programs: the requests on which an account decides, and its own."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from shared.security import approvals
from shared.security.approvals import Approval, ApprovalKinds, ApprovalState, Fact
from shared.security.approvals.views import ApprovalLine, approval_lists
from shared.web.approval_pages import PATH, RefusalForm
from shared.web.dependencies import CurrentUser, Tx
from shared.web.idempotency import Idempotency
from shared.web.routing import Router


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalResponse:
    """A request as JSON."""

    id: UUID
    kind: str
    subject: str
    facts: Sequence[Fact]
    reason: str
    requester_name: str
    requested_at: datetime
    expires_at: datetime
    may_decide: bool

    @classmethod
    def of(cls, line: ApprovalLine) -> "ApprovalResponse":
        approval = line.approval
        return cls(
            id=approval.id,
            kind=approval.kind,
            subject=approval.subject,
            facts=approval.facts,
            reason=approval.reason,
            requester_name=approval.requester_name,
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            may_decide=line.may_decide,
        )


def approval_api_router(prefix: str, kinds: ApprovalKinds) -> APIRouter:
    """Return the JSON routes of a service's approvals. `prefix` is the service's, as `/intake`."""
    policy = kinds.policy
    router = Router(prefix=f"{prefix}/api/{PATH}", tags=["双人审批"])

    @router.get("", policy=policy)
    async def pending_approvals(tx: Tx, user: CurrentUser) -> Response:
        """Return the requests on which this account may decide, then its own."""
        lists = await approval_lists(tx, kinds, user)
        lines = [*lists.waiting, *lists.own]
        listed = [ApprovalResponse.of(line) for line in lines]
        return JSONResponse({"approvals": msgspec.to_builtins(listed)})

    @router.post("/{approval_id}/approval", policy=policy)
    async def approve(
        tx: Tx, user: CurrentUser, idempotency: Idempotency, approval_id: UUID
    ) -> Response:
        """Approve what another person requested; it takes effect at once."""
        action = approvals.approve(tx, kinds, approval_id, by=user)
        return await idempotency.respond(200, _decision(action, ApprovalState.APPROVED))

    @router.post("/{approval_id}/refusal", policy=policy)
    async def refuse(
        tx: Tx,
        user: CurrentUser,
        idempotency: Idempotency,
        approval_id: UUID,
        given: RefusalForm,
    ) -> Response:
        """Refuse what another person requested."""
        action = approvals.refuse(tx, kinds, approval_id, reason=given.reason, by=user)
        return await idempotency.respond(200, _decision(action, ApprovalState.REFUSED))

    @router.post("/{approval_id}/withdrawal", policy=policy)
    async def withdraw(
        tx: Tx, user: CurrentUser, idempotency: Idempotency, approval_id: UUID
    ) -> Response:
        """Withdraw one's own request."""
        action = approvals.withdraw(tx, approval_id, by=user)
        return await idempotency.respond(200, _decision(action, ApprovalState.WITHDRAWN))

    return router


async def _decision(action: Awaitable[Approval], state: ApprovalState) -> dict[str, str]:
    approval = await action
    return {"id": str(approval.id), "state": state}
