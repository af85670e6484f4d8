"""被举报单位登记: a reviewer or supervisor records whom a 举报 accuses."""

from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions.accused import (
    NewAccusedRecord,
    StaleAccused,
    bodies_named,
    record_accused,
)
from services.intake.domain.complaints import REASON_MIN
from services.intake.views.accused import accused_panel
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    Router,
    Tx,
    read_form,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/intake/tickets/{number}/accused", include_in_schema=False)
RECORDERS: Final = allow(Role.REVIEWER, Role.SUPERVISOR)


class AccusedForm(Input):
    """The bodies that were ticked, and others by name, alias or code, one on each line."""

    unit_ids: list[str] = Field(default_factory=list, title="被举报单位", max_length=100)
    others: str = Field("", title="其他单位", max_length=5000)
    reason: str = Field("", title="理由", max_length=500)
    seen: int = Field(ge=0)


@router.get("", policy=RECORDERS)
async def accused_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> Response:
    return await _render(request, tx, user, number)


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    number: str,
    form: Form[Any] | None = None,
    status: int = 200,
) -> Response:
    panel = await accused_panel(tx, number, user)
    if panel is None or not panel.is_needed:
        raise NotFound
    ticked = {"unit_ids": [each.id for each in panel.bodies]}
    shown = form or Form[Any].with_initial(ticked)
    shown.texts["seen"] = [str(panel.record)]
    return render_page(
        request,
        "accused.html",
        status,
        panel=panel,
        complaint=panel.complaint,
        form=shown,
        reason_min=REASON_MIN,
        failed=status >= 400,
    )


@router.post("", policy=RECORDERS)
async def record(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    form: Form[AccusedForm] = await read_form(request, AccusedForm)
    if form.cleaned is None:
        return await _render(request, tx, user, number, form, 422)
    given = form.cleaned
    try:
        others = await bodies_named(tx, given.others)
        wanted = NewAccusedRecord(
            unit_ids=[*given.unit_ids, *others], reason=given.reason, seen=given.seen
        )
        return await idempotency.redirect(
            record_accused(tx, number=number, given=wanted, by=user),
            f"/intake/tickets/{number}",
        )
    except StaleAccused as stale:
        form.add_error(stale.sentence)
        return await _render(request, tx, user, number, form, 409)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return await _render(request, tx, user, number, form, rejection.status)
