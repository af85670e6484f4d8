"""双人审批: what waits for a second person, as pages of one service."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shared.security import approvals
from shared.security.approvals import ApprovalKinds
from shared.security.approvals.domain import REASON_MAX
from shared.security.approvals.views import approval_line, approval_lists, waiting_for
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web.app_state import app_state
from shared.web.dependencies import CurrentUser, Tx
from shared.web.errors import NotFound
from shared.web.forms import Form, Input, read_form
from shared.web.idempotency import Idempotency
from shared.web.rendering import render_page
from shared.web.routing import Router

PATH: Final = "dual-approvals"


class RefusalForm(Input):
    """Why a request is refused."""

    reason: str = Field(title="不予批准的理由", min_length=1, max_length=REASON_MAX)


def approval_router(prefix: str, kinds: ApprovalKinds) -> APIRouter:
    """Return the pages of a service's approvals. `prefix` is the service's, as `/intake`."""
    home = f"{prefix}/{PATH}"
    policy = kinds.policy
    router = Router(prefix=home, include_in_schema=False)

    @router.get("", policy=policy)
    async def list_approvals(request: Request, tx: Tx, user: CurrentUser) -> Response:
        lists = await approval_lists(tx, kinds, user)
        return render_page(request, "approvals.html", lists=lists, path=home, as_of=tx.now)

    @router.get("/waiting", policy=policy)
    async def waiting(tx: Tx, user: CurrentUser) -> Response:
        """The number in the menu, which pages poll; empty if it is zero."""
        count = len(await waiting_for(tx, kinds, user))
        return HTMLResponse(str(count) if count else "")

    @router.get("/{approval_id}", policy=policy)
    async def approval(request: Request, tx: Tx, user: CurrentUser, approval_id: UUID) -> Response:
        return await _render(request, tx, kinds, user, approval_id, Form[Any]())

    @router.post("/{approval_id}/approval", policy=policy)
    async def approve(
        tx: Tx, user: CurrentUser, idempotency: Idempotency, approval_id: UUID
    ) -> Response:
        action = approvals.approve(tx, kinds, approval_id, by=user)
        return await idempotency.redirect(action, to=f"{home}/{approval_id}")

    @router.post("/{approval_id}/refusal", policy=policy)
    async def refuse(
        request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, approval_id: UUID
    ) -> Response:
        form = await read_form(request, RefusalForm)
        if form.cleaned is None:
            return await _render(request, tx, kinds, user, approval_id, form, 422)
        reason = form.cleaned.reason
        action = approvals.refuse(tx, kinds, approval_id, reason=reason, by=user)
        return await idempotency.redirect(action, to=f"{home}/{approval_id}")

    @router.post("/{approval_id}/withdrawal", policy=policy)
    async def withdraw(
        tx: Tx, user: CurrentUser, idempotency: Idempotency, approval_id: UUID
    ) -> Response:
        action = approvals.withdraw(tx, approval_id, by=user)
        return await idempotency.redirect(action, to=home)

    return router


async def _render(
    request: Request,
    tx: Transaction,
    kinds: ApprovalKinds,
    user: Account,
    approval_id: UUID,
    form: Form[Any],
    status: int = 200,
) -> Response:
    line = await approval_line(tx, kinds, approval_id, user)
    if line is None:
        raise NotFound
    return render_page(
        request,
        "approval.html",
        status,
        line=line,
        approval=line.approval,
        path=f"/{app_state(request).service}/{PATH}",
        form=form,
        failed=status >= 400,
    )
