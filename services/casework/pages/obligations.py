"""报送任务: the obligations of units, and handing in what is due."""

from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions.obligations import DOCUMENT_MIN, fulfil_obligation
from services.casework.domain.states import UNIT_ROLES
from services.casework.pages.rendering import page_router, render_casework_page
from services.casework.views.obligations import list_obligations
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Tx, read_form
from shared.web.forms import Input

router = page_router()
READERS = allow(Role.SUPERVISOR, Role.OFFICE, Role.HANDLER, Role.UNIT_HEAD)


class FulfilmentForm(Input):
    document: str = Field(title="文件标题和文号", min_length=DOCUMENT_MIN, max_length=500)


@router.get("/obligations", policy=READERS)
async def obligations_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    return await _render(request, tx, user, Form[Any]())


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    form: Form[Any],
    *,
    wrong: UUID | None = None,
) -> Response:
    """Render the list. `wrong` is the obligation whose form has errors."""
    return render_casework_page(
        request,
        "obligations.html",
        422 if wrong else 200,
        obligations=await list_obligations(tx, user),
        form=form,
        wrong=wrong,
        failed=wrong is not None,
        can_fulfil=user.role in UNIT_ROLES,
        as_of=tx.now,
    )


@router.post("/obligations/{id}/fulfilment", policy=allow(*UNIT_ROLES))
async def fulfil(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    id: UUID,
) -> Response:
    form = await read_form(request, FulfilmentForm)
    if form.cleaned is None:
        return await _render(request, tx, user, form, wrong=id)
    return await idempotency.redirect(
        fulfil_obligation(tx, obligation_id=id, document=form.cleaned.document, by=user),
        to="/casework/obligations",
    )
