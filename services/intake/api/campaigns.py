"""Campaigns in the JSON API."""

from starlette.responses import JSONResponse, Response

from services.intake.api.problems import problems
from services.intake.store import campaigns
from shared.security.policies import SIGNED_IN
from shared.web import (
    Router,
    Tx,
)

router = Router(prefix="/intake/api", tags=["受理"])


@router.get("/campaigns", policy=SIGNED_IN, responses=problems())
async def list_campaigns(tx: Tx) -> Response:
    """Campaigns as intake knows them: a newly published one is here a moment later."""
    return JSONResponse(
        [
            {"id": c.id, "title": c.title, "year": c.year, "units": len(c.units)}
            for c in await campaigns.running(tx)
        ]
    )
