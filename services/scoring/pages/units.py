"""G3 得分解释, G4 变动记录, G9 本单位得分."""

from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.domain.decisions import decidable_rules
from services.scoring.domain.ledger import ScoreSource
from services.scoring.views.campaigns import get_campaign, scheme_versions
from services.scoring.views.changes import list_changes
from services.scoring.views.units import decisions_on, explain_score, neighbours, own_score
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Router, Tx, render_page

router = Router(prefix="/scoring")
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
PERIODS: Final = {"": "全部时间", "1": "今天", "7": "近 7 天", "30": "近 30 天"}
RECENT_CHANGES: Final = 5


@router.get("/mine", policy=allow(Role.UNIT_HEAD))
async def own_score_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """G9: the user's own unit only; no rank, no other unit, no single record."""
    found = await own_score(tx, unit_id=user.unit_id)
    return render_page(request, "mine.html", found=found, as_of=tx.now if found else None)


@router.get("/{campaign_id}/units/{unit_id}", policy=BOARD)
async def unit_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    version: str = "",
) -> Response:
    """G3."""
    return await render_unit(request, tx, campaign_id, unit_id, version=version)


async def render_unit(
    request: Request,
    tx: Transaction,
    campaign_id: str,
    unit_id: str,
    *,
    version: str = "",
    form: Form[Any] | None = None,
    status: int = 200,
) -> Response:
    campaign = await get_campaign(tx, campaign_id)
    found = await explain_score(tx, campaign, unit_id, version=version)
    rules = decidable_rules(campaign.scheme)
    return render_page(
        request,
        "unit.html",
        status,
        found=found,
        campaign=campaign,
        recent=await list_changes(tx, campaign, unit_id=unit_id, rows=RECENT_CHANGES),
        neighbours=await neighbours(tx, campaign, found.unit),
        versions=await scheme_versions(tx, campaign),
        rules=[(rule.id, f"{rule.id} {rule.label}") for rule in rules],
        decisions=await decisions_on(tx, campaign, found.unit),
        form=form or Form[Any](),
        failed=status >= 400,
        as_of=tx.now,
    )


@router.get("/{campaign_id}/units/{unit_id}/changes", policy=BOARD)
async def changes_page(
    request: Request,
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    source: str = "",
    days: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> Response:
    """G4."""
    campaign = await get_campaign(tx, campaign_id)
    days = days if days in PERIODS else ""
    page = await list_changes(
        tx,
        campaign,
        unit_id=unit_id,
        source=source,
        since=_since(tx, days),
        page=number,
    )
    return render_page(
        request,
        "changes.html",
        campaign=campaign,
        unit=campaign.unit(unit_id),
        page=page,
        number=number,
        source=source,
        days=days,
        periods=PERIODS,
        sources=list(ScoreSource),
        as_of=tx.now,
    )


def _since(tx: Transaction, days: str) -> date | None:
    """Return the first day of a period, None for all time."""
    if not days:
        return None
    return civil_day(tx.now) - timedelta(days=int(days) - 1)
