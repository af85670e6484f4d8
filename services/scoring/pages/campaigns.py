"""Making a campaign, its register of units, its rules as they are in force, and what unit heads may
see.
"""

from typing import Any

from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from services.scoring import actions
from services.scoring.store import Campaign
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import InvalidFile, read_table
from shared.appraisal.labels import Role
from shared.appraisal.schemes import SchemeError, load_scheme, scheme_ids
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, redirect, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring")
OFFICE = allow(Role.OFFICE)
FILE_MAX_BYTES = 8 * 1024 * 1024


class NewCampaign(Input):
    """A campaign from a shipped scheme."""

    scheme: str = Field(title="评议方案", max_length=10)
    year: int = Field(title="年度", ge=2000, le=2100)
    title: str = Field("", title="活动名称", max_length=80)


class RegisterFile(Input):
    """名册文件."""

    file: UploadFile = Field(title="名册文件")


@router.post("/campaigns", policy=OFFICE)
async def create(request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency) -> Response:
    form = await read_form(request, NewCampaign)
    if form.cleaned is None or form.cleaned.scheme not in scheme_ids():
        if form.cleaned:
            form.add_error("请选择评议方案", "scheme")
        return render_page(request, "empty.html", 422, schemes=scheme_ids(), form=form, failed=True)
    try:
        scheme = load_scheme(form.cleaned.scheme, form.cleaned.year)
    except SchemeError as error:
        raise Rejected(str(error.mistakes[0]), status=422, field="scheme") from error
    action = actions.create_campaign(tx, scheme=scheme, title=form.cleaned.title, by=str(user.id))
    return await idempotency.redirect(
        action, to=lambda campaign: f"/scoring/{campaign.id}/register"
    )


@router.get("/register", policy=OFFICE)
async def newest_register(request: Request, tx: Tx) -> Response:
    campaign = await actions.current_campaign(tx)
    return (
        _register_page(request, tx, campaign, Form[Any]())
        if campaign
        else redirect(request, "/scoring/")
    )


@router.get("/{campaign_id}/register", policy=OFFICE)
async def register_page(request: Request, tx: Tx, campaign_id: str) -> Response:
    """The units that take part, by category."""
    return _register_page(request, tx, await actions.campaign_of(tx, campaign_id), Form[Any]())


def _register_page(
    request: Request, tx: Transaction, campaign: Campaign, form: Form[Any], status: int = 200
) -> Response:
    return render_page(
        request,
        "register.html",
        status,
        campaign=campaign,
        form=form,
        failed=status >= 400,
        as_of=tx.now,
    )


@router.post("/{campaign_id}/register", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def import_register(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str
) -> Response:
    """Read a register file (CSV or XLSX) and enter its units."""
    campaign = await actions.campaign_of(tx, campaign_id)
    form = await read_form(request, RegisterFile)
    if form.cleaned is None:
        return _register_page(request, tx, campaign, form, 422)
    await form.cleaned.file.seek(0)
    try:
        rows = actions.unit_rows(
            read_table(form.cleaned.file.filename or "名册", await form.cleaned.file.read())
        )
    except (InvalidFile, Rejected) as error:
        form.add_error(str(error), "file")
        return _register_page(request, tx, campaign, form, 422)
    return await idempotency.redirect(
        actions.register_units(tx, campaign_id, rows, by=str(user.id)),
        to=f"/scoring/{campaign_id}/register",
    )


@router.get("/rules", policy=OFFICE)
async def newest_rules(request: Request, tx: Tx) -> Response:
    campaign = await actions.current_campaign(tx)
    return await _rules_page(request, tx, campaign) if campaign else redirect(request, "/scoring/")


@router.get("/{campaign_id}/rules", policy=allow(Role.OFFICE, Role.LEADER))
async def rules_page(request: Request, tx: Tx, campaign_id: str) -> Response:
    """The rules in force: weights, formulas, points off, ranking, consequences, and what the office
    still has to decide.
    """
    return await _rules_page(request, tx, await actions.campaign_of(tx, campaign_id))


async def _rules_page(request: Request, tx: Transaction, campaign: Campaign) -> Response:
    return render_page(
        request,
        "rules.html",
        campaign=campaign,
        scheme=campaign.scheme,
        versions=await actions.versions(tx, campaign.id),
        undecided={place for place, _ in campaign.scheme.undecided()},
        as_of=tx.now,
    )


@router.post("/{campaign_id}/shown", policy=OFFICE)
async def show(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str
) -> Response:
    """Let unit heads see the running score of their own unit."""
    return await idempotency.redirect(
        actions.show_to_units(tx, campaign_id=campaign_id, shown=True, by=str(user.id)),
        to="/scoring/",
    )


@router.post("/{campaign_id}/hidden", policy=OFFICE)
async def hide(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str
) -> Response:
    """Keep the running scores to the office again."""
    return await idempotency.redirect(
        actions.show_to_units(tx, campaign_id=campaign_id, shown=False, by=str(user.id)),
        to="/scoring/",
    )
