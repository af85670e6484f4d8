"""C5 督办台: every unit's cases, and the lists that need a supervisor."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.casework.pages.rendering import PageNumber, page_router, render_casework_page
from services.casework.store.supervision import SupervisionCounts
from services.casework.views.case_lists import list_cases
from services.casework.views.supervision import (
    SMALL_BASE,
    SupervisionView,
    UnitSummary,
    supervision_counts,
    supervision_views,
    unit_summaries,
)
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Tx

router = page_router()
PERIODS: Final = {7: "近 7 天", 30: "近 30 天", 90: "近 90 天", 365: "近一年"}
DEFAULT_PERIOD: Final = 30
DEFAULT_VIEW: Final = "late"
TONES: Final = {"late": "over", "soon": "warn"}


@router.get("/supervise", policy=allow(Role.SUPERVISOR))
async def supervise_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    days: int = DEFAULT_PERIOD,
    view: str = DEFAULT_VIEW,
    unit: str | None = None,
    page: PageNumber = 1,
) -> Response:
    days = days if days in PERIODS else DEFAULT_PERIOD
    views = supervision_views(tx.now, unit)
    chosen = views.get(view, views[DEFAULT_VIEW])
    units = await unit_summaries(tx, days=days)
    return render_casework_page(
        request,
        "supervise.html",
        units=units,
        tiles=_tiles(views, await supervision_counts(tx)),
        listing=await list_cases(tx, user, chosen.filter, page=page),
        view=chosen,
        days=days,
        periods=PERIODS,
        unit=unit,
        unit_name=_unit_name(units, unit),
        values={"view": chosen.key, "unit": unit, "days": days},
        as_of=tx.now,
        small_base=SMALL_BASE,
    )


def _tiles(views: dict[str, SupervisionView], counts: SupervisionCounts) -> list[dict[str, Any]]:
    counted = {
        "late": counts.late,
        "soon": counts.soon,
        "dissatisfied": counts.dissatisfied,
        "returned": counts.returned,
        "unsigned": counts.unsigned,
    }
    return [_tile(views[key], count) for key, count in counted.items()]


def _tile(view: SupervisionView, count: int) -> dict[str, Any]:
    return {
        "label": view.label,
        "value": count,
        "url": f"/casework/supervise?view={view.key}",
        "tone": TONES.get(view.key, "") if count else "",
    }


def _unit_name(units: list[UnitSummary], unit_id: str | None) -> str | None:
    return next((unit.name for unit in units if unit.unit_id == unit_id), unit_id)
