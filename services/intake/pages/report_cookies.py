"""Cookies of the public report wizard: the token of the draft, then that of the receipt."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions.form_drafts import KEPT, RECEIPT_SHOWN

DRAFT_COOKIE: Final = "fengping_report"
RECEIPT_COOKIE: Final = "fengping_receipt"
DRAFT_PATH: Final = "/p/report"
RECEIPT_PATH: Final = "/p/receipt"


def set_draft_cookie(
    request: Request,
    response: Response,
    token: str,
) -> None:
    """Set the draft's cookie for as long as the draft is kept."""
    seconds = int(KEPT.total_seconds())
    _set_cookie(request, response, DRAFT_COOKIE, token, seconds=seconds, path=DRAFT_PATH)


def replace_with_receipt(
    request: Request,
    response: Response,
    token: str,
) -> None:
    """Set the receipt's cookie and delete the draft's."""
    seconds = int(RECEIPT_SHOWN.total_seconds())
    _set_cookie(request, response, RECEIPT_COOKIE, token, seconds=seconds, path=RECEIPT_PATH)
    response.delete_cookie(DRAFT_COOKIE, path=DRAFT_PATH)


def _set_cookie(
    request: Request,
    response: Response,
    name: str,
    token: str,
    *,
    seconds: int,
    path: str,
) -> None:
    response.set_cookie(
        name,
        token,
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=request.app.state.settings.https,
        path=path,
    )
