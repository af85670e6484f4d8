"""New campaigns, the rules in force, and what unit heads see."""

import json
from datetime import date
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions import campaigns as actions
from services.scoring.actions.approval_kinds.rules import request_rules
from services.scoring.domain.campaign import Campaign
from services.scoring.pages.requests import request_url
from services.scoring.views.campaigns import current_campaign, get_campaign, rules_of
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Scheme, scheme_ids
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, redirect, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring")
OFFICE: Final = allow(Role.OFFICE)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
RULES_MAX: Final = 500_000


class CampaignForm(Input):
    """A campaign from a shipped scheme."""

    scheme: str = Field(title="评议方案", max_length=10)
    year: int = Field(title="年度", ge=2000, le=2100)
    title: str = Field("", title="活动名称", max_length=80)


@router.post("/campaigns", policy=OFFICE)
async def create_campaign(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, CampaignForm)
    if form.cleaned and form.cleaned.scheme not in scheme_ids():
        form.add_error("请选择评议方案", "scheme")
    if form.cleaned is None or form.errors:
        return render_page(request, "empty.html", 422, schemes=scheme_ids(), form=form, failed=True)
    scheme = actions.shipped_scheme(form.cleaned.scheme, form.cleaned.year)
    action = actions.create_campaign(tx, scheme=scheme, title=form.cleaned.title, by=user)
    return await idempotency.redirect(action, to=_register_url)


def _register_url(campaign: Campaign) -> str:
    return f"/scoring/{campaign.id}/register"


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


@router.get("/rules", policy=OFFICE)
async def current_rules(request: Request, tx: Tx) -> Response:
    campaign = await current_campaign(tx)
    if campaign is None:
        return redirect(request, "/scoring/")
    return await _rules_page(request, tx, campaign)


@router.get("/{campaign_id}/rules", policy=BOARD)
async def rules_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
) -> Response:
    """The rules in force: weights, formulas, adjustments, ranking, consequences, versions."""
    return await _rules_page(request, tx, await get_campaign(tx, campaign_id))


async def _rules_page(
    request: Request,
    tx: Transaction,
    campaign: Campaign,
    form: Form[Any] | None = None,
    status: int = 200,
) -> Response:
    return render_page(
        request,
        "rules.html",
        status,
        form=form or Form[Any](),
        failed=status >= 400,
        campaign=campaign,
        scheme=campaign.scheme,
        rules=await rules_of(tx, campaign),
        as_of=tx.now,
    )


class RulesForm(Input):
    """Another version of the rules: YAML of a scheme, or the edited JSON of the one in force."""

    rules: str = Field(title="规则全文", max_length=RULES_MAX)
    effective_on: date | None = Field(None, title="生效日期")
    reason: str = Field(title="申请理由", max_length=REASON_MAX)

    def parse_scheme(self, year: int) -> Scheme:
        """Return the scheme of the text. Raises Rejected (422)."""
        if not self.rules.startswith("{"):
            return actions.parse_scheme(self.rules, year)
        try:
            return actions.scheme_from_json(json.loads(self.rules))
        except ValueError as error:
            raise Rejected("规则全文不是完整的 JSON", status=422, field="rules") from error


@router.post("/{campaign_id}/rules", policy=OFFICE)
async def request_new_rules(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """申请更换规则: a second person approves."""
    campaign = await get_campaign(tx, campaign_id)
    form = await read_form(request, RulesForm)
    given = form.cleaned
    if given is None:
        return await _rules_page(request, tx, campaign, form, 422)
    try:
        action = request_rules(
            tx,
            campaign_id=campaign_id,
            scheme=given.parse_scheme(campaign.year),
            reason=given.reason,
            effective_on=given.effective_on,
            by=user,
        )
        return await idempotency.redirect(action, to=request_url)
    except Rejected as error:
        field = error.field if error.field in RulesForm.model_fields else "rules"
        form.add_error(error.sentence, field)
        return await _rules_page(request, tx, campaign, form, 422)


# ── what units see ────────────────────────────────────────────────────────────────────────────────


@router.post("/{campaign_id}/shown", policy=OFFICE)
async def show_to_units(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """Show unit heads the running score of their own unit."""
    action = actions.show_to_units(tx, campaign_id=campaign_id, shown=True, by=user)
    return await idempotency.redirect(action, to="/scoring/")


@router.post("/{campaign_id}/hidden", policy=OFFICE)
async def hide_from_units(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """Hide the running scores from unit heads."""
    action = actions.show_to_units(tx, campaign_id=campaign_id, shown=False, by=user)
    return await idempotency.redirect(action, to="/scoring/")
