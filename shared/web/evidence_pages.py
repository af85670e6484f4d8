"""存证: the daily lines of one service's audit log, to print and to check."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from shared.security.daily_checkpoints import (
    LineOutcome,
    MalformedLine,
    check_line,
    list_daily_lines,
    read_line,
)
from shared.storage.transaction import Transaction
from shared.web.app_state import app_state
from shared.web.dependencies import Tx
from shared.web.navigation import EVIDENCE_PAGES, EVIDENCE_READERS
from shared.web.rendering import render_page
from shared.web.routing import Router

TYPED_MAX = 200


def evidence_router(prefix: str) -> APIRouter:
    """Return the page of a service. `prefix` is the service's, as `/intake`."""
    router = Router(prefix=f"{prefix}/evidence", include_in_schema=False)

    @router.get("", policy=EVIDENCE_READERS)
    async def evidence_page(request: Request, tx: Tx) -> Response:
        typed = request.query_params.get("line", "")[:TYPED_MAX]
        outcome, error = await _outcome(tx, typed)
        path = f"/{app_state(request).service}/evidence"
        return render_page(
            request,
            "evidence.html",
            422 if error else 200,
            lines=await list_daily_lines(tx, tx.service),
            typed=typed,
            outcome=outcome,
            agrees=outcome is LineOutcome.AGREES,
            error=error,
            path=path,
            service_name=EVIDENCE_PAGES[path],
            failed=bool(error),
        )

    return router


async def _outcome(tx: Transaction, typed: str) -> tuple[LineOutcome | None, str]:
    """Return the outcome for a typed line, or why the line cannot be checked."""
    if not typed.strip():
        return None, ""
    try:
        line = read_line(typed)
    except MalformedLine as error:
        return None, str(error)
    if line.service != tx.service:
        return None, f"这一行属于 {line.service}，请到那个环节的存证页面核对"
    return await check_line(tx, line), ""
