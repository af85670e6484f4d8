"""材料核对: what the nightly comparison found missing, for the office and auditors."""

from starlette.requests import Request
from starlette.responses import Response

from services.intake.views.reconciliation import reconciliation_page
from shared.web.dependencies import Tx
from shared.web.navigation import EVIDENCE_READERS
from shared.web.rendering import render_page
from shared.web.routing import Router

router = Router(prefix="/intake", include_in_schema=False)


@router.get("/reconciliation", policy=EVIDENCE_READERS)
async def reconciliation(request: Request, tx: Tx) -> Response:
    return render_page(request, "reconciliation.html", page=await reconciliation_page(tx))
