"""Decisions on rules that only a person applies."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.scoring.actions import decisions as actions
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)


class DecisionRequest(Input):
    unit_id: str = Field(title="单位编码", max_length=40)
    rule_id: str = Field(title="规则编号", max_length=60)
    grounds: str = Field(title="认定理由", min_length=5, max_length=2000)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class RevocationRequest(Input):
    grounds: str = Field(title="撤销理由", min_length=5, max_length=2000)


@dataclass(frozen=True, slots=True)
class DecisionResponse:
    decision_id: UUID


@router.post("/campaigns/{campaign_id}/decisions", policy=OFFICE, status_code=201)
async def decide(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    body: DecisionRequest,
) -> Response:
    """Apply a rule to a unit (认定)."""
    return await idempotency.respond(201, _decide(tx, campaign_id, body, by=user))


async def _decide(
    tx: Transaction,
    campaign_id: str,
    body: DecisionRequest,
    *,
    by: Account,
) -> DecisionResponse:
    decision_id = await actions.decide(tx, campaign_id=campaign_id, by=by, **body.model_dump())
    return DecisionResponse(decision_id)


@router.post("/campaigns/{campaign_id}/decisions/{decision_id}/revocation", policy=OFFICE)
async def revoke(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    decision_id: UUID,
    body: RevocationRequest,
) -> Response:
    """Revoke a decision; both stay in the ledger."""
    action = actions.revoke(
        tx,
        campaign_id=campaign_id,
        decision_id=decision_id,
        grounds=body.grounds,
        by=user,
    )
    return await idempotency.respond(200, action)
