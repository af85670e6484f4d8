"""疑似异常: batches whose ballots are held, and the decision of two people about each."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import integrity
from services.intake.views.integrity import event_detail, list_events
from services.intake.views.questionnaires import campaign_or_current
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role, Verdict
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, render_page
from shared.web.forms import Input

router = Router(prefix="/intake/integrity", include_in_schema=False)
DECIDERS: Final = allow(Role.OFFICE, Role.REVIEWER)
CampaignId = Annotated[str, Query(alias="campaign", max_length=100)]
VERDICTS: Final = (
    (Verdict.COUNT, "计入", "答卷照常计入得分"),
    (Verdict.VOID, "作废", "本批答卷全部不计，问卷码停用"),
)


class VerdictForm(Input):
    verdict: Verdict = Field(title="处理意见")
    reason: str = Field(title="理由", max_length=500)


@router.get("", policy=DECIDERS)
async def event_list(
    request: Request,
    tx: Tx,
    campaign_id: CampaignId = "",
) -> Response:
    campaign = await campaign_or_current(tx, campaign_id)
    if campaign is None:
        return render_page(request, "no-campaign.html")
    lines = await list_events(tx, campaign)
    return render_page(request, "integrity.html", campaign=campaign, lines=lines, as_of=tx.now)


@router.get("/{event_id}", policy=DECIDERS)
async def event_page(
    request: Request,
    tx: Tx,
    event_id: UUID,
) -> Response:
    return await _page(request, tx, event_id, Form[VerdictForm].with_initial())


async def _page(
    request: Request,
    tx: Transaction,
    event_id: UUID,
    form: Form[VerdictForm],
    *,
    status: int = 200,
) -> Response:
    return render_page(
        request,
        "integrity-event.html",
        status,
        found=await event_detail(tx, event_id),
        form=form,
        verdicts=VERDICTS,
        failed=status >= 400,
    )


@router.post("/{event_id}/requests", policy=DECIDERS)
async def request_verdict(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    event_id: UUID,
) -> Response:
    form = await read_form(request, VerdictForm)
    given = form.cleaned
    if given is None:
        return await _page(request, tx, event_id, form, status=422)
    try:
        action = integrity.request_verdict(
            tx, event_id, given.verdict, reason=given.reason, by=user
        )
        return await idempotency.redirect(action, to=_url(event_id))
    except Rejected as error:
        form.add_error(error.sentence, error.field or "reason")
        return await _page(request, tx, event_id, form, status=error.status)


def _url(event_id: UUID) -> str:
    return f"/intake/integrity/{event_id}"
