"""I5 公众首页 and the list of appraised units: public, without script and without an account."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.events import UnitEntry
from shared.security.policies import PUBLIC
from shared.web import Router, Tx, render_page

router = Router(prefix="/p", include_in_schema=False)
SEARCH_MAX: Final = 50


@router.get("/", policy=PUBLIC)
async def public_home(request: Request, tx: Tx) -> Response:
    return render_page(request, "public-home.html", campaign=await campaigns.current(tx))


@router.get("/units/{unit_id}", policy=PUBLIC)
async def unit_profile(
    request: Request,
    tx: Tx,
    unit_id: str,
) -> Response:
    """An appraised unit: its name, its category and how to report about it (J12)."""
    campaign = await campaigns.current(tx)
    unit = campaign.units.get(unit_id) if campaign else None
    if campaign is None or unit is None:
        raise Rejected("本次评议没有这个单位", status=404)
    category = campaign.scheme.category(unit.category)
    label = category.label if category else ""
    return render_page(
        request,
        "public-unit.html",
        unit=unit,
        campaign=campaign,
        category=label,
    )


@router.get("/units", policy=PUBLIC)
async def units(
    request: Request,
    tx: Tx,
    q: str = "",
) -> Response:
    """All units of the campaign, or those that fit the search."""
    query = q[:SEARCH_MAX]
    campaign = await campaigns.current(tx)
    found = _matching_units(campaign, query) if campaign else []
    return render_page(request, "public-units.html", units=found, q=query, campaign=campaign)


def _matching_units(campaign: KnownCampaign, query: str) -> list[UnitEntry]:
    if query.strip():
        return campaign.search(query)
    return list(campaign.units.values())
