"""The words and shapes that all pages of casework share."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from services.casework.actions.handling import FINDING_LABELS
from services.casework.actions.reading import CHANNEL_LABELS, KIND_LABELS, URGENCY_LABELS
from shared.appraisal.calendar.deadlines import DeadlineStatus
from shared.web import render_page

BADGES: Final = {
    DeadlineStatus.NORMAL: "normal",
    DeadlineStatus.WARNING: "near",
    DeadlineStatus.LATE: "over",
    DeadlineStatus.SEVERE: "grave",
    DeadlineStatus.PAUSED: "paused",
    DeadlineStatus.CLOSED: "closed",
}
"""The name of a deadline_status in the shared badge."""
WORDS: Final[dict[str, Any]] = {
    "badges": BADGES,
    "kinds": KIND_LABELS,
    "urgencies": URGENCY_LABELS,
    "channels": CHANNEL_LABELS,
    "finding_labels": FINDING_LABELS,
}


def render_casework_page(
    request: Request, template: str, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page of casework."""
    return render_page(request, template, status, **WORDS, **context)
