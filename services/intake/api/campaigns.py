"""Campaigns in the JSON API."""

from starlette.responses import Response

from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from shared.security.policies import STAFF
from shared.web import Router, Tx

router = Router(prefix="/intake/api", tags=["受理"])


@router.get("/campaigns", policy=STAFF, responses=problems())
async def list_campaigns(tx: Tx) -> Response:
    """List the campaigns that intake received from scoring, the newest first."""
    return json_response([_campaign(campaign) for campaign in await campaigns.list_all(tx)])


def _campaign(campaign: KnownCampaign) -> dict[str, str | int]:
    return {
        "id": campaign.id,
        "title": campaign.title,
        "year": campaign.year,
        "units": len(campaign.units),
    }
