"""督办台: every unit's cases at a glance."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.casework.domain.states import WITH_UNIT, CaseState
from services.casework.store import supervision
from services.casework.store.case_lists import CaseFilter
from services.casework.store.supervision import SupervisionCounts, UnitStatistics
from services.casework.views.deadlines import due_soon
from shared.storage.transaction import Transaction

SMALL_BASE: Final = 5
"""A rate over fewer cases is not shown: a single case would decide it."""
TOO_FEW: Final = "样本不足"
UNSIGNED_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SupervisionView:
    """A list that the supervisor can choose."""

    key: str
    label: str
    filter: CaseFilter


def supervision_views(now: datetime, unit_id: str | None) -> dict[str, SupervisionView]:
    """Return the supervisor's lists by key, restricted to a unit if one is given."""
    views = (
        SupervisionView("late", "超期", CaseFilter(deadline_status="late", unit_id=unit_id)),
        SupervisionView("soon", "今明到期", CaseFilter(deadline_status="soon", unit_id=unit_id)),
        SupervisionView("dissatisfied", "不满意", CaseFilter(dissatisfied=True, unit_id=unit_id)),
        SupervisionView("returned", "退回重派", CaseFilter(returned=True)),
        SupervisionView(
            "unsigned",
            "超过 1 日未签收",
            CaseFilter(unsigned_since=now - UNSIGNED_AFTER, unit_id=unit_id),
        ),
        SupervisionView(
            "strike", "待销号", CaseFilter(states=(CaseState.CLOSED,), unit_id=unit_id)
        ),
        SupervisionView("unit", "在办", CaseFilter(states=WITH_UNIT, unit_id=unit_id)),
    )
    return {view.key: view for view in views}


@dataclass(frozen=True, slots=True)
class UnitSummary:
    """A unit in the table of the supervisor. Rates with a small base read 样本不足."""

    unit_id: str
    name: str
    open: int
    late: int
    soon: int
    closed: int
    days: str
    on_time: str
    dissatisfied: str


async def unit_summaries(tx: Transaction, *, days: int) -> list[UnitSummary]:
    """Return every unit's open cases, and how those closed in the last `days` days went."""
    since = tx.now - timedelta(days=days)
    statistics = await supervision.by_unit(tx, since=since, due=await due_soon(tx))
    return [_summary(unit) for unit in statistics]


def _summary(unit: UnitStatistics) -> UnitSummary:
    return UnitSummary(
        unit_id=unit.unit_id,
        name=unit.name,
        open=unit.open,
        late=unit.late,
        soon=unit.soon,
        closed=unit.closed,
        days=_mean_days(unit),
        on_time=_rate(unit.on_time, unit.closed),
        dissatisfied=_rate(unit.dissatisfied, unit.rated),
    )


def _mean_days(unit: UnitStatistics) -> str:
    if unit.days is None or unit.closed < SMALL_BASE:
        return TOO_FEW
    return f"{unit.days:.1f} 日"


def _rate(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole >= SMALL_BASE else TOO_FEW


async def supervision_counts(tx: Transaction) -> SupervisionCounts:
    """Return the numbers of the supervisor's tiles."""
    unsigned_since = tx.now - UNSIGNED_AFTER
    return await supervision.counts(tx, unsigned_since=unsigned_since, due=await due_soon(tx))
