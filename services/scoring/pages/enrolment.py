"""参评单位: the bodies that take part in a campaign, enrolled one by one or from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions import campaigns as actions
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.register import RegisterPlan, UnitRow
from services.scoring.pages.register_files import (
    FILE_MAX_BYTES,
    PlannedRowsForm,
    RegisterFileForm,
    decode_rows,
    encode_rows,
    read_rows,
)
from services.scoring.views.campaigns import current_campaign, get_campaign
from services.scoring.views.organisations import organisation_choices, plan_enrolment
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, redirect, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring")
OFFICE: Final = allow(Role.OFFICE)


class ParticipationForm(Input):
    """One body of the register."""

    unit_id: str = Field(title="单位", min_length=1, max_length=40)
    category: str = Field(title="类别", min_length=1, max_length=80)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file means, before it is carried out. `rows`: its text for the form that does."""

    plan: RegisterPlan
    rows: str

    @classmethod
    def of(cls, plan: RegisterPlan, rows: Sequence[UnitRow]) -> "Preview":
        return cls(plan, encode_rows(rows))


@router.get("/register", policy=OFFICE)
async def current_enrolment(request: Request, tx: Tx) -> Response:
    campaign = await current_campaign(tx)
    if campaign is None:
        return redirect(request, "/scoring/")
    return await _enrolment_page(request, tx, campaign, Form[Any]())


@router.get("/{campaign_id}/register", policy=OFFICE)
async def enrolment_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
) -> Response:
    """The units that take part, by category."""
    return await _enrolment_page(request, tx, await get_campaign(tx, campaign_id), Form[Any]())


async def _enrolment_page(
    request: Request,
    tx: Transaction,
    campaign: Campaign,
    form: Form[Any],
    status: int = 200,
    *,
    preview: Preview | None = None,
) -> Response:
    return render_page(
        request,
        "register.html",
        status,
        campaign=campaign,
        organisations=await organisation_choices(tx),
        category_choices=[(each.key, each.label) for each in campaign.scheme.categories],
        form=form,
        preview=preview,
        failed=status >= 400,
        as_of=tx.now,
    )


@router.post("/{campaign_id}/register/preview", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def preview_enrolment(
    request: Request,
    tx: Tx,
    campaign_id: str,
) -> Response:
    """Show which bodies of the register the rows of a file (CSV or XLSX) mean."""
    campaign = await get_campaign(tx, campaign_id)
    form = await read_form(request, RegisterFileForm)
    rows = await read_rows(form, required=("name", "category"))
    if rows is None:
        return await _enrolment_page(request, tx, campaign, form, 422)
    plan = await plan_enrolment(tx, campaign_id, rows)
    status = 422 if plan.errors else 200
    preview = Preview.of(plan, rows)
    return await _enrolment_page(request, tx, campaign, form, status, preview=preview)


@router.post("/{campaign_id}/register", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def enrol_units(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """Enrol the bodies of a file as the preview showed them."""
    form = await read_form(request, PlannedRowsForm)
    if form.cleaned is None:
        raise Rejected("名册内容不完整，请重新选择文件", status=422, field="file")
    action = actions.enrol_units(
        tx,
        campaign_id,
        decode_rows(form.cleaned.rows),
        by=user,
        expected_digest=form.cleaned.digest,
    )
    return await idempotency.redirect(action, to=_enrolment_url)


@router.post("/{campaign_id}/enrolments", policy=OFFICE)
async def enrol_unit(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    """Enrol one body of the register, or change its category."""
    campaign = await get_campaign(tx, campaign_id)
    form = await read_form(request, ParticipationForm)
    if form.cleaned is None:
        return await _enrolment_page(request, tx, campaign, form, 422)
    row = UnitRow(name="", unit_id=form.cleaned.unit_id, category=form.cleaned.category)
    action = actions.enrol_units(tx, campaign_id, [row], by=user)
    return await idempotency.redirect(action, to=_enrolment_url)


def _enrolment_url(campaign: Campaign) -> str:
    return f"/scoring/{campaign.id}/register"
