"""Notifications of the person signed in."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.notify.actions import inbox as actions
from services.notify.api.base import PageSize, ResponseModel, api_router
from services.notify.views import inbox as views
from shared.security.policies import SIGNED_IN, Account
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, NotFound, Tx
from shared.web.day_precision import in_days
from shared.web.forms import Input

router = api_router()


class NotificationResponse(ResponseModel):
    """A notification as its audience reads it."""

    id: UUID
    kind: str
    title: str
    number: str
    text: str
    link: str
    due_at: datetime | None
    occurred_at: datetime
    created_at: datetime
    resolved_at: datetime | None
    seen_at: datetime | None
    done_at: datetime | None


class NotificationListResponse(ResponseModel):
    """One page. Pass `next` as `after` to continue; it is null on the last page."""

    notifications: list[NotificationResponse]
    next: UUID | None


class UnreadResponse(ResponseModel):
    """The number of subjects with unseen open notifications; counting stops at 100."""

    unread: int


class ReadReceiptRequest(Input):
    """`seen`: the person read the notification; `done`: no action is left."""

    state: Literal["seen", "done"] = Field(title="状态")


class ReadReceiptResponse(ResponseModel):
    """The recorded state of one notification."""

    id: UUID
    state: Literal["seen", "done"]


@router.get("/notifications", policy=SIGNED_IN, response_model=NotificationListResponse)
async def list_notifications(
    tx: Tx,
    user: CurrentUser,
    number: str | None = None,
    after: UUID | None = None,
    limit: PageSize = 50,
) -> NotificationListResponse:
    """Notifications of the person signed in, oldest first."""
    items = await views.list_notifications(
        tx,
        user=user,
        number=number,
        after=after,
        limit=limit,
    )
    return NotificationListResponse(
        notifications=[in_days(NotificationResponse.model_validate(item), user) for item in items],
        next=items[-1].id if len(items) == limit else None,
    )


@router.get("/notifications/unread", policy=SIGNED_IN, response_model=UnreadResponse)
async def count_unread(tx: Tx, user: CurrentUser) -> UnreadResponse:
    """The number of cases and other subjects with open notifications not yet seen."""
    return UnreadResponse(unread=await views.unread_count(tx, user=user))


@router.post(
    "/notifications/{notification_id}/reading",
    policy=SIGNED_IN,
    response_model=ReadReceiptResponse,
)
async def record_receipt(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    notification_id: UUID,
    body: ReadReceiptRequest,
) -> Response:
    """Record that the person saw a notification, or is done with it."""
    return await idempotency.respond(200, _record_receipt(tx, user, notification_id, body))


async def _record_receipt(
    tx: Transaction,
    user: Account,
    notification_id: UUID,
    body: ReadReceiptRequest,
) -> ReadReceiptResponse:
    if not await views.is_readable(tx, user=user, notification_id=notification_id):
        raise NotFound
    await actions.mark_read(tx, by=user, done=body.state == "done", ids=[notification_id])
    return ReadReceiptResponse(id=notification_id, state=body.state)
