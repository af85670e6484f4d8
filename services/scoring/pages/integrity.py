"""答卷核查: what counts, what is void, what is held."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.scoring.views.campaigns import get_campaign
from services.scoring.views.integrity import integrity_view
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import Router, Tx, render_page

router = Router(prefix="/scoring")
BOARD: Final = allow(Role.OFFICE, Role.LEADER)


@router.get("/{campaign_id}/integrity", policy=BOARD)
async def integrity_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
) -> Response:
    campaign = await get_campaign(tx, campaign_id)
    return render_page(
        request,
        "integrity.html",
        campaign=campaign,
        found=await integrity_view(tx, campaign),
        as_of=tx.now,
    )
