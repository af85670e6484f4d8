"""消息中心: the notifications of the person signed in."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.notify.actions import inbox as actions
from services.notify.views import inbox as views
from shared.appraisal.errors import Rejected
from shared.security.policies import SIGNED_IN
from shared.web import (
    CurrentUser,
    Idempotency,
    NotFound,
    Router,
    Tx,
    is_htmx,
    read_form,
    redirect,
    render_fragment,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/notify", include_in_schema=False)


@router.get("/inbox", policy=SIGNED_IN)
async def inbox(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    view: Annotated[str, Query(pattern="^(unread|all)$")] = "unread",
    before: UUID | None = None,
) -> Response:
    page = await views.inbox_page(tx, user=user, include_read=view == "all", before=before)
    values: dict[str, Any] = {"page": page, "view": view, "before": before, "as_of": tx.now}
    if is_htmx(request):
        return render_fragment(request, "inbox.html", "threads", **values)
    return render_page(request, "inbox.html", **values)


@router.get("/inbox/unread", policy=SIGNED_IN)
async def unread(tx: Tx, user: CurrentUser) -> Response:
    """The number in the top bar, which every page polls; empty if it is zero."""
    count = await views.unread_count(tx, user=user)
    return HTMLResponse(views.unread_label(count) if count else "")


@router.get("/notifications/{notification_id}", policy=SIGNED_IN)
async def open_notification(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    notification_id: UUID,
) -> Response:
    """Redirect to the page where the person can act, and mark the notification as seen."""
    link = await actions.open_notification(tx, notification_id=notification_id, by=user)
    if link is None:
        raise NotFound
    return redirect(request, link)


class MarkDoneForm(Input):
    """Which subjects are done: the row of the button (`only`), the checked ones, or all."""

    subjects: list[str] = Field([], title="消息")
    only: str | None = None
    every: bool = False
    view: str = "unread"

    @property
    def is_empty(self) -> bool:
        return not (self.every or self.only or self.subjects)

    @property
    def subject_ids(self) -> list[str] | None:
        """The chosen subjects; None for all."""
        if self.every:
            return None
        return [self.only] if self.only else self.subjects

    @property
    def origin(self) -> str:
        return "/notify/inbox" if self.view == "unread" else "/notify/inbox?view=all"


@router.post("/inbox/reading", policy=SIGNED_IN)
async def mark_done(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, MarkDoneForm)
    chosen = form.cleaned
    if chosen is None or chosen.is_empty:
        raise Rejected("请先选中要标记的消息", status=422)
    marked = actions.mark_read(tx, by=user, done=True, subject_ids=chosen.subject_ids)
    return await idempotency.redirect(marked, to=chosen.origin)
