"""The delivery log."""

from datetime import datetime
from uuid import UUID

from starlette.responses import Response

from services.notify.actions import delivery
from services.notify.api.base import ADMIN, PageSize, ResponseModel, api_router
from services.notify.domain.channels import Channel
from services.notify.domain.delivery import DeliveryFilter, DeliveryState
from services.notify.views.deliveries import list_deliveries
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Tx

router = api_router()


class DeliveryResponse(ResponseModel):
    """One notification for one address. `id` is the idempotency key of every attempt."""

    id: UUID
    kind: str
    number: str
    role: str
    unit_id: str | None
    channel: str
    redacted_address: str
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None


class DeliveryListResponse(ResponseModel):
    """One page. Pass `next` as `before` to continue; it is null on the last page."""

    deliveries: list[DeliveryResponse]
    next: UUID | None


@router.get(
    "/deliveries",
    policy=allow(Role.ADMIN, Role.SUPERVISOR),
    response_model=DeliveryListResponse,
)
async def log(
    tx: Tx,
    user: CurrentUser,
    state: DeliveryState | None = None,
    channel: Channel | None = None,
    number: str | None = None,
    before: UUID | None = None,
    limit: PageSize = 50,
) -> DeliveryListResponse:
    """Deliveries, newest first. A supervisor sees those to supervisors."""
    wanted = DeliveryFilter(state=state, channel=channel, number=number)
    entries = await list_deliveries(tx, wanted, user=user, before=before, limit=limit)
    return DeliveryListResponse(
        deliveries=[DeliveryResponse.model_validate(entry) for entry in entries],
        next=entries[-1].id if len(entries) == limit else None,
    )


@router.post("/deliveries/{delivery_id}/resending", policy=ADMIN, status_code=202)
async def resend(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    delivery_id: UUID,
) -> Response:
    """Send a failed delivery again, with the same key."""
    return await idempotency.respond(202, delivery.resend(tx, delivery_id=delivery_id, by=user))
