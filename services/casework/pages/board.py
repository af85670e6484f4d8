"""C4 单位审批, C5 督办台, C7 整改台账, and the obligations of units (报送任务)."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions import duties, reading
from services.casework.domain import State, Verb
from services.casework.pages.words import render_casework_page
from services.casework.store import cases, reference
from services.casework.store.cases import Filter
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form
from shared.web.forms import Input

router = Router(prefix="/casework")
UNIT = allow(Role.HANDLER, Role.UNIT_HEAD)
LEDGER = allow(Role.SUPERVISOR, Role.HANDLER, Role.UNIT_HEAD)
OBLIGATIONS = allow(Role.SUPERVISOR, Role.OFFICE, Role.HANDLER, Role.UNIT_HEAD)
PERIODS = {7: "近 7 天", 30: "近 30 天", 90: "近 90 天", 365: "近一年"}
SMALL_BASE = 5
"""A rate over fewer is not shown: one case would make it."""
Page = Annotated[int, Query(ge=1, le=100_000)]


@router.get("/approvals", policy=allow(Role.UNIT_HEAD))
async def approvals_page(request: Request, tx: Tx, user: CurrentUser, page: Page = 1) -> Response:
    results = await reading.case_list(tx, user, Filter(states=(State.REVIEWING,)), page=page)
    asked = await cases.with_request(tx, user)
    requests = [await reading.case_view(tx, number, user) for number in asked]
    return render_casework_page(
        request,
        "approvals.html",
        listing=results,
        requests=[one for one in requests if Verb.DECIDE_EXTENSION in one.verbs],
        as_of=tx.now,
    )


@router.get("/supervise", policy=allow(Role.SUPERVISOR))
async def supervise_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    days: int = 30,
    view: str = "late",
    unit: str | None = None,
    page: Page = 1,
) -> Response:
    days = days if days in PERIODS else 30
    calendar, bad = await reference.calendar(tx), await reading.dissatisfied_options(tx)
    soon = reading.soon_before(tx.now, calendar)
    units = await cases.by_unit(
        tx, since=tx.now - timedelta(days=days), soon_before=soon, dissatisfied=bad
    )
    views = {
        "late": ("超期", Filter(deadline_status="late", unit_id=unit)),
        "soon": ("今明到期", Filter(deadline_status="soon", unit_id=unit)),
        "dissatisfied": ("不满意", Filter(dissatisfied=True, unit_id=unit)),
        "returned": ("退回重派", Filter(returned=True)),
        "unsigned": (
            "超过 1 日未签收",
            Filter(unsigned_since=tx.now - timedelta(days=1), unit_id=unit),
        ),
        "strike": ("待销号", Filter(states=(State.CLOSED,), unit_id=unit)),
        "unit": (
            "在办",
            Filter(
                states=(State.ASSIGNED, State.HANDLING, State.PAUSED, State.REVIEWING), unit_id=unit
            ),
        ),
    }
    view = view if view in views else "late"
    counted = await cases.board_counts(
        tx, soon_before=soon, unsigned_since=tx.now - timedelta(days=1), dissatisfied=bad
    )
    tiles = [
        _tile(key, label, counted[key])
        for key, (label, _) in views.items()
        if key in counted.keys()  # noqa: SIM118
    ]
    listing = await reading.case_list(tx, user, views[view][1], page=page)
    return render_casework_page(
        request,
        "supervise.html",
        units=[_rated(row) for row in units],
        tiles=tiles,
        listing=listing,
        view=view,
        view_word=views[view][0],
        days=days,
        periods=PERIODS,
        unit=unit,
        unit_name=next((row["name"] for row in units if row["unit_id"] == unit), unit),
        values={"view": view, "unit": unit, "days": days},
        as_of=tx.now,
        SMALL_BASE=SMALL_BASE,
    )


def _tile(key: str, label: str, count: int) -> dict[str, Any]:
    tone = {"late": "over", "soon": "warn"}.get(key, "") if count else ""
    return {"label": label, "value": count, "url": f"/casework/supervise?view={key}", "tone": tone}


def _rated(row: Any) -> dict[str, Any]:
    """A unit's line. A rate with a small base reads 样本不足."""

    def rate(part: int, whole: int) -> str:
        return f"{100 * part / whole:.0f}%" if whole >= SMALL_BASE else "样本不足"

    return {
        "unit_id": row["unit_id"],
        "name": row["name"],
        "open": row["open"],
        "late": row["late"],
        "soon": row["soon"],
        "closed": row["closed"],
        "days": f"{row['days']:.1f} 日"
        if row["days"] is not None and row["closed"] >= SMALL_BASE
        else "样本不足",
        "on_time": rate(row["on_time"], row["closed"]),
        "dissatisfied": rate(row["dissatisfied"], row["rated"]),
    }


@router.get("/ledger", policy=LEDGER)
async def ledger_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    state: str = "",
    source: str = "",
    unit: str | None = None,
    page: Page = 1,
) -> Response:
    states = {
        "": (
            State.ASSIGNED,
            State.HANDLING,
            State.PAUSED,
            State.REVIEWING,
            State.CLOSED,
            State.STRUCK_OFF,
        ),
        "open": (State.ASSIGNED, State.HANDLING, State.PAUSED, State.REVIEWING),
        "closed": (State.CLOSED,),
        "struck": (State.STRUCK_OFF,),
    }
    state = state if state in states else ""
    source = source if source in ("complaint", "visit") else ""
    wanted = Filter(states=states[state], source=source or None, unit_id=unit or None)
    counted = await reading.tally(tx, user)
    return render_casework_page(
        request,
        "ledger.html",
        listing=await reading.case_list(tx, user, wanted, page=page),
        state=state,
        source=source,
        unit=unit or "",
        counted=counted,
        values={"state": state, "source": source, "unit": unit},
        as_of=tx.now,
        units=await cases.units_with_cases(tx, user),
        form=Form[Any].with_initial({"state": state, "source": source, "unit": unit or ""}),
    )


class Fulfilment(Input):
    document: str = Field(title="文件标题和文号", min_length=duties.DOCUMENT_MIN, max_length=500)


@router.get("/obligations", policy=OBLIGATIONS)
async def obligations_page(request: Request, tx: Tx, user: CurrentUser) -> Response:
    return await _obligations(request, tx, user)


async def _obligations(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    form: Form[Any] | None = None,
    wrong: UUID | None = None,
) -> Response:
    calendar = await reference.calendar(tx)
    rows = [
        {
            **dict(row),
            "progress": reading.progress_of(
                {**dict(row), "deadline_state": row["state"]}, calendar, tx.now
            ),
        }
        for row in await duties.listed(tx, user)
    ]
    return render_casework_page(
        request,
        "duties.html",
        422 if wrong else 200,
        rows=rows,
        form=form or Form[Any](),
        wrong=wrong,
        failed=wrong is not None,
        can_fulfil=user.role in (Role.HANDLER, Role.UNIT_HEAD),
        as_of=tx.now,
    )


@router.post("/obligations/{id}/fulfilment", policy=UNIT)
async def fulfil(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, id: UUID
) -> Response:
    form = await read_form(request, Fulfilment)
    if form.cleaned is None:
        return await _obligations(request, tx, user, form, id)
    return await idempotency.redirect(
        duties.fulfil_obligation(tx, obligation_id=id, document=form.cleaned.document, by=user),
        to="/casework/obligations",
    )
