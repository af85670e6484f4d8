"""问卷码: request a batch, and open the batch that somebody else requested."""

from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import token_batches
from services.intake.actions.token_batches import BatchRequest
from services.intake.domain.token_batches import TokenUse
from services.intake.store.campaigns import KnownCampaign
from services.intake.views.questionnaires import campaign_or_current
from services.intake.views.token_batches import batch_lines, codes_csv, group_choices
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

router = Router(prefix="/intake/codes", include_in_schema=False)
OFFICE: Final = allow(Role.OFFICE)
READERS: Final = allow(Role.OFFICE, Role.REVIEWER)
CampaignId = Annotated[str, Query(alias="campaign", max_length=100)]
USES: Final = (
    (TokenUse.ONE_USE, "一次性问卷码，一人一个"),
    (TokenUse.PLACE, "固定码，张贴在办事大厅"),
)


class BatchForm(Input):
    group: str = Field(title="问卷和评议主体", max_length=110)
    use: Literal[TokenUse.ONE_USE, TokenUse.PLACE] = Field(title="用途")
    count: int = Field(token_batches.BATCH_MIN, title="数量", ge=1, le=token_batches.BATCH_MAX)
    unit_id: str = Field("", title="张贴单位", max_length=100)
    expected: int | None = Field(None, title="预计份数", ge=1, le=1_000_000)
    closes_on: date | None = Field(None, title="截止日期")

    def request(self, campaign: KnownCampaign) -> BatchRequest:
        """Return the batch that this person wants."""
        instrument, _, group = self.group.partition("/")
        return BatchRequest(
            campaign_id=campaign.id,
            instrument=instrument,
            group=group,
            use=self.use,
            count=1 if self.use is TokenUse.PLACE else self.count,
            unit_id=self.unit_id or None,
            expected=self.expected,
            closes_on=self.closes_on,
        )


@router.get("", policy=READERS)
async def list_codes(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    campaign_id: CampaignId = "",
) -> Response:
    campaign = await campaign_or_current(tx, campaign_id)
    if campaign is None:
        return render_page(request, "no-campaign.html")
    form = Form[BatchForm].with_initial({"count": token_batches.BATCH_MIN})
    return await _page(request, tx, campaign, user, form)


async def _page(
    request: Request,
    tx: Transaction,
    campaign: KnownCampaign,
    user: Account,
    form: Form[BatchForm],
    *,
    status: int = 200,
) -> Response:
    units = [(unit.unit_id, unit.name) for unit in campaign.by_number.values()]
    return render_page(
        request,
        "codes.html",
        status,
        campaign=campaign,
        lines=await batch_lines(tx, campaign, user),
        form=form,
        may_request=OFFICE.allows(user),
        groups=group_choices(campaign),
        uses=USES,
        units=units,
        failed=status >= 400,
    )


@router.post("/{campaign_id}", policy=OFFICE)
async def request_codes(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
) -> Response:
    campaign = await campaign_or_current(tx, campaign_id)
    if campaign is None:
        raise NotFound
    form = await read_form(request, BatchForm)
    if form.cleaned is None:
        return await _page(request, tx, campaign, user, form, status=422)
    try:
        action = token_batches.request_batch(tx, form.cleaned.request(campaign), by=user)
        return await idempotency.redirect(action, to=f"/intake/codes?campaign={campaign.id}")
    except Rejected as error:
        form.add_error(error.sentence, error.field or "count")
        return await _page(request, tx, campaign, user, form, status=422)


@router.post("/{batch_id}/codes", policy=READERS)
async def open_batch(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    batch_id: UUID,
) -> Response:
    """Show the codes as slips to print, this once."""
    codes = await token_batches.open_batch(tx, batch_id, by=user)
    site = request.app.state.settings.site_url
    return render_page(request, "codes-opened.html", codes=codes, site=site)


@router.post("/{batch_id}/codes.csv", policy=READERS)
async def export_batch(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    batch_id: UUID,
) -> Response:
    """Download the codes for a printing house, this once."""
    codes = await token_batches.open_batch(tx, batch_id, by=user)
    site = request.app.state.settings.site_url
    headers = {"Content-Disposition": f'attachment; filename="codes-{batch_id}.csv"'}
    content = codes_csv(codes, site=site)
    return Response(content, headers=headers, media_type="text/csv; charset=utf-8")
