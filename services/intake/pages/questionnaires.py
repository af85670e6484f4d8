"""测评问卷 for the appraisal office: the questions, a paper form to print, and the opinions."""

from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from services.intake.store.campaigns import KnownCampaign
from services.intake.store.opinions import PAGE_SIZE
from services.intake.views import questionnaires
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Questionnaire
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, NotFound, Router, Tx, render_page

router = Router(prefix="/intake/questionnaires", include_in_schema=False)
OFFICE: Final = allow(Role.OFFICE)
CampaignId = Annotated[str, Query(alias="campaign", max_length=100)]
Page = Annotated[int, Query(ge=1, le=10_000)]


@router.get("", policy=OFFICE)
async def list_questionnaires(
    request: Request,
    tx: Tx,
    campaign_id: CampaignId = "",
) -> Response:
    campaign = await questionnaires.campaign_or_current(tx, campaign_id)
    if campaign is None:
        return render_page(request, "no-campaign.html")
    summaries = await questionnaires.summaries(tx, campaign)
    return render_page(
        request,
        "questionnaires.html",
        campaign=campaign,
        summaries=summaries,
        as_of=tx.now,
    )


@router.get("/{campaign_id}/{instrument}/paper", policy=OFFICE)
async def paper(
    request: Request,
    tx: Tx,
    campaign_id: str,
    instrument: str,
) -> Response:
    campaign, questionnaire = await _find(tx, campaign_id, instrument)
    return render_page(
        request,
        "questionnaire-paper.html",
        campaign=campaign,
        questionnaire=questionnaire,
        questions=questionnaires.paper(campaign, questionnaire),
    )


@router.get("/{campaign_id}/{instrument}/opinions", policy=OFFICE)
async def opinion_list(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    campaign_id: str,
    instrument: str,
    page: Page = 1,
) -> Response:
    campaign, questionnaire = await _find(tx, campaign_id, instrument)
    lines = await questionnaires.opinion_lines(tx, campaign, questionnaire, page=page, reader=user)
    return render_page(
        request,
        "opinions.html",
        campaign=campaign,
        questionnaire=questionnaire,
        lines=lines,
        page=page,
        has_next=len(lines) == PAGE_SIZE,
        as_of=tx.now,
    )


async def _find(
    tx: Transaction,
    campaign_id: str,
    instrument: str,
) -> tuple[KnownCampaign, Questionnaire]:
    campaign = await questionnaires.campaign_or_current(tx, campaign_id)
    found = campaign.scheme.questionnaires if campaign else ()
    questionnaire = next((one for one in found if one.key == instrument), None)
    if campaign is None or questionnaire is None:
        raise NotFound
    return campaign, questionnaire
