"""检查轮次: the office plans who visits which units between which days."""

from datetime import date
from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import rounds
from services.intake.domain.rounds import NAME_MAX, Round, RoundPlan
from services.intake.store import rounds as store
from services.intake.views.rounds import RoundChoices, choices, list_rounds
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role, VisitMode
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    Router,
    Tx,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/intake/rounds", include_in_schema=False)
OFFICE: Final = allow(Role.OFFICE)
URL: Final = "/intake/rounds"
MODES: Final = [(mode.value, mode.label) for mode in VisitMode]


class RoundForm(Input):
    name: str = Field(title="轮次名称", max_length=NAME_MAX)
    mode: VisitMode = Field(title="方式")
    begins_on: date = Field(title="开始日期")
    ends_on: date = Field(title="结束日期")
    team: list[UUID] = Field([], title="巡查员", max_length=200)
    units: list[str] = Field([], title="到访单位", max_length=2000)

    def plan(self, campaign_id: str) -> RoundPlan:
        """Return the plan of a campaign."""
        return RoundPlan(
            campaign_id=campaign_id,
            name=self.name,
            mode=self.mode,
            begins_on=self.begins_on,
            ends_on=self.ends_on,
            team=tuple(dict.fromkeys(self.team)),
            units=tuple(dict.fromkeys(self.units)),
        )


@router.get("", policy=OFFICE)
async def list_page(request: Request, tx: Tx) -> Response:
    return await _list(request, tx, Form[RoundForm].with_initial({"mode": VisitMode.COVERT}))


async def _list(
    request: Request,
    tx: Transaction,
    form: Form[RoundForm],
    status: int = 200,
) -> Response:
    offered = await choices(tx)
    if offered is None:
        return render_page(request, "no-campaign.html")
    lines = await list_rounds(tx)
    return _render(request, "rounds.html", offered, form, status, lines=lines)


def _render(
    request: Request,
    template: str,
    offered: RoundChoices,
    form: Form[RoundForm],
    status: int,
    **values: object,
) -> Response:
    return render_page(
        request,
        template,
        status,
        offered=offered,
        form=form,
        modes=MODES,
        failed=status >= 400,
        **values,
    )


@router.post("", policy=OFFICE)
async def plan_round(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, RoundForm)
    offered = await choices(tx)
    if offered is None:
        raise NotFound
    if form.cleaned is None:
        return await _list(request, tx, form, 422)
    try:
        action = rounds.plan_round(tx, form.cleaned.plan(offered.campaign.id), by=user)
        return await idempotency.redirect(action, to=URL)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return await _list(request, tx, form, rejection.status)


@router.get("/{round_id}", policy=OFFICE)
async def change_page(request: Request, tx: Tx, round_id: UUID) -> Response:
    chosen = await _find(tx, round_id)
    values = {
        "name": chosen.name,
        "mode": chosen.mode,
        "begins_on": chosen.begins_on,
        "ends_on": chosen.ends_on,
        "team": list(chosen.team),
        "units": list(chosen.units),
    }
    return await _change(request, tx, chosen, Form[RoundForm].with_initial(values))


async def _find(tx: Transaction, round_id: UUID) -> Round:
    chosen = await store.find(tx, round_id)
    if chosen is None:
        raise NotFound
    return chosen


async def _change(
    request: Request,
    tx: Transaction,
    chosen: Round,
    form: Form[RoundForm],
    status: int = 200,
) -> Response:
    offered = await choices(tx, chosen.campaign_id)
    assert offered is not None, "a round belongs to a campaign"
    return _render(request, "round.html", offered, form, status, round=chosen)


@router.post("/{round_id}", policy=OFFICE)
async def change_round(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    round_id: UUID,
) -> Response:
    chosen = await _find(tx, round_id)
    form = await read_form(request, RoundForm)
    if form.cleaned is None:
        return await _change(request, tx, chosen, form, 422)
    try:
        plan = form.cleaned.plan(chosen.campaign_id)
        await rounds.change_round(tx, round_id, plan, by=user)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return await _change(request, tx, chosen, form, rejection.status)
    return redirect(request, URL)


@router.post("/{round_id}/closure", policy=OFFICE)
async def close_round(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    round_id: UUID,
) -> Response:
    """提前结束, or withdraw a round that has not begun."""
    await rounds.close_round(tx, round_id, by=user)
    return redirect(request, URL)
