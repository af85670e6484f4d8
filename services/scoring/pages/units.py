"""G3 得分解释, G4 变动记录, G9 本单位得分: where a score comes from, line by line, and what moved
it.
"""

from datetime import date, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring import actions
from services.scoring.domain.entries import SOURCE_LABELS
from services.scoring.domain.explain import plain
from services.scoring.pages import charts
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Adjustment, Scheme
from shared.foundation.clock import CHINA
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring")
BOARD, OFFICE = allow(Role.OFFICE, Role.LEADER), allow(Role.OFFICE)
PERIODS: Final = {"": "全部时间", "1": "今天", "7": "近 7 天", "30": "近 30 天"}
RECENT: Final = 5


class Decision(Input):
    """认定 of a rule that only a person may apply."""

    rule_id: str = Field(title="规则", max_length=60)
    grounds: str = Field(title="认定理由", min_length=5, max_length=2000)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class Revocation(Input):
    """撤销认定."""

    grounds: str = Field(title="撤销理由", min_length=5, max_length=2000)


@router.get("/mine", policy=allow(Role.UNIT_HEAD))
async def mine(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """G9: the own unit only; no rank, no other unit, no single record."""
    found = await actions.own_score(tx, unit_id=user.unit_id)
    if found is None:
        return render_page(request, "mine.html", found=None)
    return render_page(request, "mine.html", found=found, **_explained(found), as_of=tx.now)


def _explained(found: actions.Explained) -> dict[str, Any]:
    scheme, explanation = found.campaign.scheme, found.explanation
    return {
        "explanation": explanation,
        "score": explanation.score,
        "pieces": charts.contributions(scheme, explanation.score.components),
        "bars": {
            share.key: charts.answers(share) for part in explanation.parts for share in part.shares
        },
        "tones": charts.tones(scheme),
        "sources": SOURCE_LABELS,
        "plain": plain,
    }


@router.get("/{campaign_id}/units/{unit_id}", policy=BOARD)
async def unit_page(
    request: Request, tx: Tx, campaign_id: str, unit_id: str, version: str = ""
) -> Response:
    """G3."""
    return await _unit_page(request, tx, campaign_id, unit_id, version=version)


async def _unit_page(
    request: Request,
    tx: Transaction,
    campaign_id: str,
    unit_id: str,
    *,
    version: str = "",
    form: Form[Any] | None = None,
    status: int = 200,
) -> Response:
    campaign = await actions.campaign_of(tx, campaign_id)
    found = await actions.explanation_of(tx, campaign, unit_id, version=version)
    moves, total = await actions.changes_of(tx, campaign, unit_id=unit_id, rows=RECENT)
    neighbours = await _neighbours(tx, found)
    return render_page(
        request,
        "unit.html",
        status,
        found=found,
        campaign=campaign,
        moves=moves,
        moves_total=total,
        neighbours=neighbours,
        versions=await actions.versions(tx, campaign.id),
        rules=_by_person(campaign.scheme),
        decisions=await actions.decisions_on(tx, campaign, unit_id),
        form=form or Form[Any](),
        failed=status >= 400,
        as_of=tx.now,
        **_explained(found),
    )


async def _neighbours(tx: Transaction, found: actions.Explained) -> tuple[Any, Any]:
    """The units before and after this one in the order of its category."""
    [board] = await actions.boards_of(tx, found.campaign, found.unit.category)
    units = [row.unit for row in board.rows]
    at = units.index(found.unit)
    return (units[at - 1] if at else None, units[at + 1] if at + 1 < len(units) else None)


def _by_person(scheme: Scheme) -> list[tuple[str, str]]:
    """(id, label) of the rules that a person decides on."""
    deductions = [
        one
        for one in (*scheme.deductions, *scheme.bonuses)
        if isinstance(one, Adjustment) and one.event == "decision"
    ]
    return [
        (one.id, f"{one.id} {one.label}")
        for one in (*deductions, *scheme.vetoes, *scheme.consequences)
    ]


@router.post("/{campaign_id}/units/{unit_id}/decisions", policy=OFFICE)
async def decide(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    unit_id: str,
) -> Response:
    form = await read_form(request, Decision)
    if form.cleaned is None:
        return await _unit_page(request, tx, campaign_id, unit_id, form=form, status=422)
    action = actions.decide(
        tx, campaign_id=campaign_id, unit_id=unit_id, by=str(user.id), **form.cleaned.model_dump()
    )
    return await idempotency.redirect(action, to=f"/scoring/{campaign_id}/units/{unit_id}")


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
    form = await read_form(request, Revocation)
    if form.cleaned is None:
        raise Rejected(form.errors[0].sentence, status=422, field="grounds")
    action = actions.revoke(
        tx,
        campaign_id=campaign_id,
        decision_id=decision_id,
        grounds=form.cleaned.grounds,
        by=str(user.id),
    )
    return await idempotency.redirect(action, to=f"/scoring/{campaign_id}/units/{unit_id}")


@router.get("/{campaign_id}/units/{unit_id}/changes", policy=BOARD)
async def changes(
    request: Request,
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    source: str = "",
    days: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> Response:
    """G4."""
    campaign = await actions.campaign_of(tx, campaign_id)
    days = days if days in PERIODS else ""
    since: date | None = (
        tx.now.astimezone(CHINA).date() - timedelta(days=int(days) - 1) if days else None
    )
    rows, total = await actions.changes_of(
        tx, campaign, unit_id=unit_id, source=source, since=since, page=number
    )
    last = max(1, -(-total // tx.context.sizes.page_rows))
    return render_page(
        request,
        "changes.html",
        campaign=campaign,
        unit=actions.unit_of(campaign, unit_id),
        rows=rows,
        total=total,
        number=number,
        last=last,
        source=source,
        days=days,
        periods=PERIODS,
        sources=SOURCE_LABELS,
        as_of=tx.now,
    )
