"""Subscriptions."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.notify.actions import subscriptions as actions
from services.notify.api.base import ADMIN, ResponseModel, api_router
from services.notify.domain.audience import Audience
from services.notify.domain.rules import NotificationKind
from services.notify.views import subscriptions as views
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Tx
from shared.web.forms import Input

router = api_router()


class SubscriptionResponse(ResponseModel):
    """A subscription. `secret` verifies `webhook-signature`; only the list contains it."""

    id: UUID
    role: str
    unit_id: str | None
    channel: str
    redacted_address: str
    kinds: list[str]
    created_at: datetime
    failing_since: datetime | None
    secret: str | None = None


class SubscriptionRequest(Input):
    """`address`: `mailto:…`, `https://…` or an Apprise URL; omit it to keep the current one."""

    role: Audience = Field(title="角色")
    unit_id: str | None = Field(None, title="单位", max_length=100)
    kinds: list[NotificationKind] = Field([], title="通知种类")
    address: str | None = Field(None, title="接收地址", max_length=2000)


@router.get("/subscriptions", policy=ADMIN, response_model=list[SubscriptionResponse])
async def list_subscriptions(tx: Tx) -> list[SubscriptionResponse]:
    """Subscriptions in use."""
    subscriptions = await views.list_subscriptions(tx)
    return [SubscriptionResponse.model_validate(each) for each in subscriptions]


@router.put("/subscriptions/{subscription_id}", policy=ADMIN, response_model=SubscriptionResponse)
async def subscribe(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    subscription_id: UUID,
    body: SubscriptionRequest,
) -> Response:
    """Create the subscription with this id, which the client chooses, or change it."""
    return await idempotency.respond(200, _subscribe(tx, user, subscription_id, body))


async def _subscribe(
    tx: Transaction,
    user: Account,
    subscription_id: UUID,
    body: SubscriptionRequest,
) -> SubscriptionResponse:
    row = await actions.subscribe(tx, subscription_id=subscription_id, by=user, **body.model_dump())
    # Without the secret: the response is stored with the idempotency key.
    return SubscriptionResponse.model_validate(row)


@router.delete("/subscriptions/{subscription_id}", policy=ADMIN)
async def stop(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    subscription_id: UUID,
) -> Response:
    """Stop a subscription and destroy its address."""
    stopped = actions.stop_subscription(tx, subscription_id=subscription_id, by=user)
    return await idempotency.respond(200, stopped)
