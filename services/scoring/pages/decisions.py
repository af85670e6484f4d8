"""Decisions (认定) on a unit's page."""

from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions import decisions as actions
from services.scoring.pages.units import render_unit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx, read_form
from shared.web.forms import Input

router = Router(prefix="/scoring")
OFFICE: Final = allow(Role.OFFICE)


class DecisionForm(Input):
    """认定 of a rule that only a person applies."""

    rule_id: str = Field(title="规则", max_length=60)
    grounds: str = Field(title="认定理由", min_length=5, max_length=2000)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class RevocationForm(Input):
    """撤销认定."""

    grounds: str = Field(title="撤销理由", min_length=5, max_length=2000)


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
    action = actions.decide(
        tx, campaign_id=campaign_id, unit_id=unit_id, by=user, **form.cleaned.model_dump()
    )
    return await idempotency.redirect(action, to=_unit_url(campaign_id, unit_id))


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
    action = actions.revoke(
        tx,
        campaign_id=campaign_id,
        decision_id=decision_id,
        grounds=form.cleaned.grounds,
        by=user,
    )
    return await idempotency.redirect(action, to=_unit_url(campaign_id, unit_id))


def _unit_url(campaign_id: str, unit_id: str) -> str:
    return f"/scoring/{campaign_id}/units/{unit_id}"
