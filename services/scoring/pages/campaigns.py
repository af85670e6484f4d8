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
from shared.appraisal.events import Refused
from shared.appraisal.imports import BadFile, read_table
from shared.appraisal.schemes import SchemeError, load_scheme, scheme_ids
from shared.security.policies import allow
from shared.security.roles import Role
from shared.storage.transaction import Transaction
from shared.web import Door, Form, Once, Tx, Who, page, read_form, see_other
from shared.web.forms import Input

door = Door(prefix="/scoring")
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


@door.post("/campaigns", policy=OFFICE)
async def create(request: Request, tx: Tx, who: Who, once: Once) -> Response:
    form = await read_form(request, NewCampaign)
    if form.value is None or form.value.scheme not in scheme_ids():
        if form.value:
            form.refuse("请选择评议方案", "scheme")
        return page(request, "empty.html", 422, schemes=scheme_ids(), form=form, failed=True)
    try:
        scheme = load_scheme(form.value.scheme, form.value.year)
    except SchemeError as error:
        raise Refused(str(error.mistakes[0]), status=422, field="scheme") from error
    action = actions.create_campaign(tx, scheme=scheme, title=form.value.title, by=str(who.id))
    return await once.redirect(action, to=lambda campaign: f"/scoring/{campaign.id}/register")


@door.get("/register", policy=OFFICE)
async def newest_register(request: Request, tx: Tx) -> Response:
    campaign = await actions.current_campaign(tx)
    return (
        _register_page(request, tx, campaign, Form[Any]())
        if campaign
        else see_other(request, "/scoring/")
    )


@door.get("/{campaign_id}/register", policy=OFFICE)
async def register_page(request: Request, tx: Tx, campaign_id: str) -> Response:
    """The units that take part, by category."""
    return _register_page(request, tx, await actions.campaign_of(tx, campaign_id), Form[Any]())


def _register_page(
    request: Request, tx: Transaction, campaign: Campaign, form: Form[Any], status: int = 200
) -> Response:
    return page(
        request,
        "register.html",
        status,
        campaign=campaign,
        form=form,
        failed=status >= 400,
        as_of=tx.now,
    )


@door.post("/{campaign_id}/register", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def import_register(
    request: Request, tx: Tx, who: Who, once: Once, campaign_id: str
) -> Response:
    """Read a register file (CSV or XLSX) and enter its units."""
    campaign = await actions.campaign_of(tx, campaign_id)
    form = await read_form(request, RegisterFile)
    if form.value is None:
        return _register_page(request, tx, campaign, form, 422)
    await form.value.file.seek(0)
    try:
        rows = actions.unit_rows(
            read_table(form.value.file.filename or "名册", await form.value.file.read())
        )
    except (BadFile, Refused) as error:
        form.refuse(str(error), "file")
        return _register_page(request, tx, campaign, form, 422)
    return await once.redirect(
        actions.register_units(tx, campaign_id, rows, by=str(who.id)),
        to=f"/scoring/{campaign_id}/register",
    )


@door.get("/rules", policy=OFFICE)
async def newest_rules(request: Request, tx: Tx) -> Response:
    campaign = await actions.current_campaign(tx)
    return await _rules_page(request, tx, campaign) if campaign else see_other(request, "/scoring/")


@door.get("/{campaign_id}/rules", policy=allow(Role.OFFICE, Role.LEADER))
async def rules_page(request: Request, tx: Tx, campaign_id: str) -> Response:
    """The rules in force: weights, formulas, points off, ranking, consequences, and what the office
    still has to decide.
    """
    return await _rules_page(request, tx, await actions.campaign_of(tx, campaign_id))


async def _rules_page(request: Request, tx: Transaction, campaign: Campaign) -> Response:
    return page(
        request,
        "rules.html",
        campaign=campaign,
        scheme=campaign.scheme,
        versions=await actions.versions(tx, campaign.id),
        undecided={place for place, _ in campaign.scheme.undecided()},
        as_of=tx.now,
    )


@door.post("/{campaign_id}/shown", policy=OFFICE)
async def show(request: Request, tx: Tx, who: Who, once: Once, campaign_id: str) -> Response:
    """Let unit heads see the running score of their own unit."""
    return await once.redirect(
        actions.show_to_units(tx, campaign_id=campaign_id, shown=True, by=str(who.id)),
        to="/scoring/",
    )


@door.post("/{campaign_id}/hidden", policy=OFFICE)
async def hide(request: Request, tx: Tx, who: Who, once: Once, campaign_id: str) -> Response:
    """Keep the running scores to the office again."""
    return await once.redirect(
        actions.show_to_units(tx, campaign_id=campaign_id, shown=False, by=str(who.id)),
        to="/scoring/",
    )
