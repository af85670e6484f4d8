"""Obligations of units."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.casework.actions.obligations import DOCUMENT_MIN, fulfil_obligation
from services.casework.api.routing import READERS, CaseworkResponse, api_router
from services.casework.domain.deadlines import DeadlineState
from services.casework.domain.states import UNIT_ROLES
from services.casework.views.obligations import list_obligations
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Tx
from shared.web.forms import Input

router = api_router()


class ObligationResponse(CaseworkResponse):
    """An obligation of a unit."""

    id: UUID
    campaign_id: str
    unit_id: str
    unit_name: str | None
    obligation_rule_id: str
    label: str
    deliverable: str
    due_at: datetime
    state: DeadlineState
    lapsed_at: datetime | None
    fulfilled_at: datetime | None
    document: str | None


class FulfilmentRequest(Input):
    document: str = Field(min_length=DOCUMENT_MIN, max_length=500)


class FulfilmentResponse(CaseworkResponse):
    id: UUID
    fulfilled_at: datetime


@router.get("/obligations", policy=READERS, response_model=list[ObligationResponse])
async def get_obligations(tx: Tx, user: CurrentUser) -> list[ObligationResponse]:
    """单位任务（方案、自评报告 …）."""
    found = await list_obligations(tx, user)
    return [ObligationResponse.model_validate(obligation) for obligation in found]


@router.post(
    "/obligations/{id}/fulfilment",
    policy=allow(*UNIT_ROLES),
    status_code=201,
    response_model=FulfilmentResponse,
)
async def fulfil(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    id: UUID,
    body: FulfilmentRequest,
) -> Response:
    """报送."""
    return await idempotency.respond(201, _fulfil(tx, user, id, body.document))


async def _fulfil(
    tx: Transaction,
    user: Account,
    obligation_id: UUID,
    document: str,
) -> FulfilmentResponse:
    obligation = await fulfil_obligation(
        tx, obligation_id=obligation_id, document=document, by=user
    )
    return FulfilmentResponse.model_validate(obligation)
