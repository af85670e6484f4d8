"""重放核对."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions import recounts as actions
from services.scoring.views.campaigns import get_campaign
from services.scoring.views.recounts import newest_recount
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx, render_page

router = Router(prefix="/scoring")
OFFICE: Final = allow(Role.OFFICE)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)


@router.post("/{campaign_id}/recounts", policy=OFFICE)
async def recount(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """Recount everything stored."""
    action = actions.recount(tx, campaign_id, by=str(user.id))
    return await idempotency.redirect(action, to=f"/scoring/{campaign_id}/recounts")


@router.get("/{campaign_id}/recounts", policy=BOARD)
async def recount_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
) -> Response:
    """The newest recount."""
    return render_page(
        request,
        "recount.html",
        campaign=await get_campaign(tx, campaign_id),
        recount=await newest_recount(tx, campaign_id),
        as_of=tx.now,
    )
