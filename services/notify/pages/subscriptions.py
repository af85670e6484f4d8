"""订阅与升级: subscriptions and the table of rules."""

from uuid import UUID

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from services.notify.actions import subscriptions as actions
from services.notify.domain.audience import Audience
from services.notify.domain.quiet_hours import QUIET_FROM_HOUR, QUIET_UNTIL_HOUR
from services.notify.domain.rules import NotificationKind
from services.notify.views.subscriptions import rules_page
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction, new_id
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, render_page
from shared.web.forms import Input

router = Router(prefix="/notify/rules", include_in_schema=False)
ADMIN = allow(Role.ADMIN)


class SubscriptionForm(Input):
    """An address that receives the notifications of an audience."""

    role: Audience = Field(title="角色")
    unit_id: str | None = Field(None, title="单位", max_length=100)
    address: str = Field(title="接收地址", max_length=2000)
    kinds: list[str] = Field([], title="通知种类")

    @field_validator("kinds")
    @classmethod
    def _check_kinds(cls, kinds: list[str]) -> list[str]:
        if set(kinds) - set(NotificationKind):
            raise ValueError("“通知种类”请从列出的选项中选择")
        return kinds


@router.get("", policy=ADMIN)
async def rules(request: Request, tx: Tx) -> Response:
    return await _rules_page(request, tx)


@router.post("", policy=ADMIN)
async def subscribe(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, SubscriptionForm)
    await _check(tx, form)
    if form.cleaned is None:
        return await _rules_page(request, tx, form)
    return await idempotency.redirect(_subscribe(tx, form.cleaned, user), to="/notify/rules")


@router.post("/{subscription_id}/end", policy=ADMIN)
async def stop(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    subscription_id: UUID,
) -> Response:
    stopped = actions.stop_subscription(tx, subscription_id=subscription_id, by=user)
    return await idempotency.redirect(stopped, to="/notify/rules")


async def _check(tx: Transaction, form: Form[SubscriptionForm]) -> None:
    """Add the errors that only the action finds to the form."""
    wanted = form.cleaned
    if wanted is None:
        return
    try:
        await actions.check_subscription(
            tx,
            role=wanted.role,
            unit_id=wanted.unit_id,
            address=wanted.address,
        )
    except Rejected as rejected:
        form.add_error(rejected.sentence, rejected.field or "")


async def _subscribe(
    tx: Transaction,
    wanted: SubscriptionForm,
    user: Account,
) -> None:
    await actions.subscribe(tx, subscription_id=new_id(), by=user, **wanted.model_dump())


async def _rules_page(
    request: Request,
    tx: Transaction,
    rejected: Form[SubscriptionForm] | None = None,
) -> Response:
    return render_page(
        request,
        "rules.html",
        422 if rejected else 200,
        failed=bool(rejected),
        form=rejected or Form[SubscriptionForm].with_initial(),
        page=await rules_page(tx),
        audiences=Audience.choices(),
        quiet_until=QUIET_UNTIL_HOUR,
        quiet_from=QUIET_FROM_HOUR,
    )
