"""Notify for programs: JSON under /notify/api, errors as problem+json, `Idempotency-Key` on every
write.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.notify import actions, store
from services.notify.domain import KINDS, RULES, Audience, Channel, DeliveryState
from services.notify.tables import Subscription
from shared.appraisal.labels import Role
from shared.security.policies import SIGNED_IN, Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, NotFound, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/notify/api", tags=["通知"])
ADMIN = allow(Role.ADMIN)
PAGE_MAX = 200
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Kind = Annotated[str, Path(pattern=f"^({'|'.join(KINDS)})$")]


class NotificationView(BaseModel):
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
    settled_at: datetime | None
    seen_at: datetime | None
    done_at: datetime | None


class NotificationPage(BaseModel):
    """`next`: give it as `after` to go on; None on the last page."""

    notifications: list[NotificationView]
    next: UUID | None


class DeliveryView(BaseModel):
    """A notification on its way out. `id` is the idempotency key of every attempt; the address is only
    hinted at.
    """

    id: UUID
    kind: str
    number: str
    role: str
    unit_id: str | None
    channel: str
    hint: str
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None


class DeliveryPage(BaseModel):
    """`next`: give it as `before` to go on; None on the last page."""

    deliveries: list[DeliveryView]
    next: UUID | None


class SubscriptionView(BaseModel):
    """Where notifications go. `secret` (of a webhook, only when listed) verifies `webhook-signature`."""

    id: UUID
    role: str
    unit_id: str | None
    channel: str
    hint: str
    kinds: list[str]
    created_at: datetime
    failing_since: datetime | None
    secret: str | None = None


class ReadingInput(Input):
    """`seen`: I read it; `done`: it is dealt with."""

    state: Literal["seen", "done"] = Field(title="状态")


class SubscriptionInput(Input):
    """`address`: `mailto:…`, `https://…` or an Apprise URL; left out: the one there is stays."""

    role: Audience = Field(title="角色")
    unit_id: str | None = Field(None, title="单位", max_length=100)
    kinds: list[Literal[KINDS]] = Field([], title="通知种类")  # type: ignore[valid-type]
    address: str | None = Field(None, title="接收地址", max_length=2000)


class TemplateInput(Input):
    """`based_on`: the version that was read; somebody else's newer one refuses this."""

    text: str = Field(title="模板内容")
    based_on: int = Field(title="版本", ge=1)


@router.get("/notifications", policy=SIGNED_IN, response_model=NotificationPage)
async def notifications(
    tx: Tx,
    user: CurrentUser,
    number: str | None = None,
    after: UUID | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Notifications for the person asking, oldest first."""
    rows = await store.notifications(tx, user, number=number, after=after, limit=limit)
    return {
        "notifications": [_notification(row) for row in rows],
        "next": rows[-1]["id"] if len(rows) == limit else None,
    }


@router.get("/notifications/unread", policy=SIGNED_IN)
async def unread(tx: Tx, user: CurrentUser) -> dict[str, int]:
    """How many cases (and other subjects) have open notifications that this person has not seen; counting
    stops at 100.
    """
    return {"unread": await store.count_unread(tx, user)}


@router.post("/notifications/{notification_id}/reading", policy=SIGNED_IN)
async def read(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, notification_id: UUID, body: ReadingInput
) -> Response:
    """Note that this person saw a notification, or dealt with it."""
    return await idempotency.respond(
        200, _read(tx, user, notification_id, done=body.state == "done")
    )


async def _read(
    tx: Transaction, user: Account, notification_id: UUID, *, done: bool
) -> dict[str, str]:
    if await store.notification_link(tx, user, notification_id) is None:
        raise NotFound
    await actions.mark_read(tx, user=user, ids=[notification_id], done=done)
    return {"id": str(notification_id), "state": "done" if done else "seen"}


@router.get("/deliveries", policy=allow(Role.ADMIN, Role.SUPERVISOR), response_model=DeliveryPage)
async def deliveries(
    tx: Tx,
    user: CurrentUser,
    state: DeliveryState | None = None,
    channel: Channel | None = None,
    number: str | None = None,
    before: UUID | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """What left the house, newest first. A supervisor sees what went to supervisors."""
    rows = await store.delivery_log(
        tx,
        role=log_audience(user),
        state=state,
        channel=channel,
        number=number,
        before=before,
        limit=limit,
    )
    return {
        "deliveries": [{**row, "number": row["subject"]} for row in rows],
        "next": rows[-1]["id"] if len(rows) == limit else None,
    }


def log_audience(user: Account) -> str | None:
    """Administrators see every delivery, supervisors their own."""
    return None if user.role is Role.ADMIN else user.role


@router.post("/deliveries/{delivery_id}/resending", policy=ADMIN, status_code=202)
async def resend(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, delivery_id: UUID
) -> Response:
    """Try a failed delivery again, with the same key."""
    return await idempotency.respond(202, actions.send_again(tx, delivery_id=delivery_id, by=user))


@router.get("/subscriptions", policy=ADMIN, response_model=list[SubscriptionView])
async def subscriptions(tx: Tx) -> list[dict[str, Any]]:
    """Where notifications go outside the house."""
    return [
        {**_subscription(row), "secret": actions.webhook_secret(tx.context, row)}
        for row in await store.subscriptions(tx)
    ]


@router.put("/subscriptions/{subscription_id}", policy=ADMIN, response_model=SubscriptionView)
async def subscribe(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    subscription_id: UUID,
    body: SubscriptionInput,
) -> Response:
    """Set one of them. The id is made by whoever asks; the same id changes what was set."""
    return await idempotency.respond(200, _subscribe(tx, user, subscription_id, body))


async def _subscribe(
    tx: Transaction, user: Account, subscription_id: UUID, body: SubscriptionInput
) -> dict[str, Any]:
    # Without the secret: what is answered here is kept with the idempotency key.
    return _subscription(
        await actions.subscribe(tx, subscription_id=subscription_id, by=user, **body.model_dump())
    )


@router.delete("/subscriptions/{subscription_id}", policy=ADMIN)
async def stop(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, subscription_id: UUID
) -> Response:
    """Send nothing there any more; its address is destroyed."""
    return await idempotency.respond(
        200, actions.stop_subscription(tx, subscription_id=subscription_id, by=user)
    )


@router.put("/templates/{kind}", policy=ADMIN)
async def write_template(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, kind: Kind, body: TemplateInput
) -> Response:
    """Write the next version of a text; gives its number."""
    return await idempotency.respond(
        200, actions.write_template(tx, kind=kind, by=user, **body.model_dump())
    )


def _subscription(row: Subscription) -> dict[str, Any]:
    return row.model_dump(
        exclude={"ciphertext", "wrapped_key", "key_version", "resting_until", "stopped_at"}
    )


def _notification(row: store.Row) -> dict[str, Any]:
    return {**row, "number": row["subject"], "title": RULES[row["kind"]].title}
