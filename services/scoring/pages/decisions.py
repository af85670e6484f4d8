"""Decisions (认定) on a unit's page."""

from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions.approval_kinds.decisions import DecisionPayload, request_decision
from services.scoring.actions.approval_kinds.revocations import (
    RevocationPayload,
    request_revocation,
)
from services.scoring.pages.requests import request_url
from services.scoring.pages.units import render_unit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx, read_form
from shared.web.forms import Input

router = Router(prefix="/scoring")
OFFICE: Final = allow(Role.OFFICE)


class DecisionForm(Input):
    """认定 of a rule that only a person applies."""

    rule_id: str = Field(title="规则", max_length=60)
    grounds: str = Field(title="认定理由", min_length=5, max_length=REASON_MAX)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class RevocationForm(Input):
    """撤销认定."""

    grounds: str = Field(title="撤销理由", min_length=5, max_length=REASON_MAX)


@router.post("/{campaign_id}/units/{unit_id}/decisions", policy=OFFICE)
async def decide(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    unit_id: str,
) -> Response:
    form = await read_form(request, DecisionForm)
    if form.cleaned is None:
        return await render_unit(request, tx, campaign_id, unit_id, form=form, status=422)
    payload = DecisionPayload(campaign_id=campaign_id, unit_id=unit_id, **form.cleaned.model_dump())
    try:
        return await idempotency.redirect(request_decision(tx, payload, by=user), to=request_url)
    except Rejected as error:
        if error.status != 422:
            raise
        form.add_error(error.sentence, "grounds" if error.field == "reason" else error.field or "")
        return await render_unit(request, tx, campaign_id, unit_id, form=form, status=422)


@router.post("/{campaign_id}/units/{unit_id}/decisions/{decision_id}/revocation", policy=OFFICE)
async def revoke(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    unit_id: str,
    decision_id: UUID,
) -> Response:
    form = await read_form(request, RevocationForm)
    if form.cleaned is None:
        raise Rejected(form.errors[0].sentence, status=422, field="grounds")
    payload = RevocationPayload(campaign_id, decision_id, form.cleaned.grounds)
    return await idempotency.redirect(request_revocation(tx, payload, by=user), to=request_url)
