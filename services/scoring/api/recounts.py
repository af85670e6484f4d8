"""Recounts by the independent program."""

from typing import Final

from starlette.responses import Response

from services.scoring.actions import recounts as actions
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)


@router.post("/campaigns/{campaign_id}/recounts", policy=OFFICE, status_code=201)
async def recount(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """重放核对: recount everything stored and compare it with the running scores."""
    return await idempotency.respond(201, actions.recount(tx, campaign_id, by=str(user.id)))
