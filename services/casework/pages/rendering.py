"""What the pages of casework share."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse

from services.casework.domain.states import ALLOWED_ROLES, READER_ROLES, CaseAction
from shared.appraisal.calendar.deadlines import DeadlineStatus
from shared.security.policies import Policy, allow
from shared.web import Router, render_fragment, render_page

Number = Annotated[str, Path(pattern=r"^ZF\d{4}-\d{6,}$")]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]
SearchText = Annotated[str, Query(max_length=100)]
READERS: Final = allow(*READER_ROLES)

BADGES: Final = {
    DeadlineStatus.NORMAL: "normal",
    DeadlineStatus.WARNING: "near",
    DeadlineStatus.LATE: "over",
    DeadlineStatus.SEVERE: "grave",
    DeadlineStatus.PAUSED: "paused",
    DeadlineStatus.CLOSED: "closed",
}
"""The name of a status in the shared macro `badge`."""


def may(action: CaseAction) -> Policy:
    """Return the policy of an action."""
    return allow(*ALLOWED_ROLES[action])


def page_router() -> Router:
    """Return a router under the prefix of casework's pages."""
    return Router(prefix="/casework")


def render_casework_page(
    request: Request,
    template: str,
    status: int = 200,
    **context: Any,
) -> HTMLResponse:
    """Render a page."""
    return render_page(request, template, status, badges=BADGES, **context)


def render_casework_fragment(
    request: Request,
    template: str,
    block: str,
    **context: Any,
) -> HTMLResponse:
    """Render one block of a page."""
    return render_fragment(request, template, block, badges=BADGES, **context)
