"""发送记录: the delivery log."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.notify.actions import delivery
from services.notify.domain.channels import Channel
from services.notify.domain.delivery import DeliveryFilter, DeliveryState
from services.notify.views.deliveries import delivery_log_page
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, render_page

router = Router(prefix="/notify", include_in_schema=False)


@router.get("/log", policy=allow(Role.ADMIN, Role.SUPERVISOR))
async def log(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    state: str = "",
    channel: str = "",
    number: str = "",
    before: UUID | None = None,
) -> Response:
    query = {"state": state, "channel": channel, "number": number.strip()}
    given = {name: value for name, value in query.items() if value}
    wanted = DeliveryFilter(**given)
    page = await delivery_log_page(tx, wanted, user=user, before=before)
    return render_page(
        request,
        "log.html",
        as_of=tx.now,
        page=page,
        form=Form.with_initial(query),
        query=query,
        filtered=wanted != DeliveryFilter() or before is not None,
        states=DeliveryState.choices(),
        channels=Channel.choices(),
        may_resend=user.role is Role.ADMIN,
    )


@router.post("/log/{delivery_id}/resending", policy=allow(Role.ADMIN))
async def resend(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    delivery_id: UUID,
) -> Response:
    resent = delivery.resend(tx, delivery_id=delivery_id, by=user)
    return await idempotency.redirect(resent, to="/notify/log")
