"""Decisions on rules that only a person applies."""

from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.scoring.actions.approval_kinds.decisions import DecisionPayload, request_decision
from services.scoring.actions.approval_kinds.revocations import (
    RevocationPayload,
    request_revocation,
)
from services.scoring.api.responses import requested
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)


class DecisionRequest(Input):
    unit_id: str = Field(title="单位编码", max_length=40)
    rule_id: str = Field(title="规则编号", max_length=60)
    grounds: str = Field(title="认定理由", max_length=REASON_MAX)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class RevocationRequest(Input):
    grounds: str = Field(title="撤销理由", max_length=REASON_MAX)


@router.post("/campaigns/{campaign_id}/decisions", policy=OFFICE, status_code=202)
async def decide(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    body: DecisionRequest,
) -> Response:
    """Request a decision (认定). Once approved it is in the ledger, with the id of the request."""
    payload = DecisionPayload(campaign_id=campaign_id, **body.model_dump())
    return await idempotency.respond(202, requested(request_decision(tx, payload, by=user)))


@router.post(
    "/campaigns/{campaign_id}/decisions/{decision_id}/revocation", policy=OFFICE, status_code=202
)
async def revoke(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    decision_id: UUID,
    body: RevocationRequest,
) -> Response:
    """Request to revoke a decision; both stay in the ledger."""
    payload = RevocationPayload(campaign_id, decision_id, body.grounds)
    return await idempotency.respond(202, requested(request_revocation(tx, payload, by=user)))
