"""Obligations of units as a person may see them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.casework.store import calendar, obligations
from services.casework.store.obligations import ObligationRow
from services.casework.views.deadlines import progress
from shared.appraisal.calendar.deadlines import DeadlineProgress
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ObligationDetails:
    """An obligation with its deadline."""

    id: UUID
    campaign_id: str
    unit_id: str
    unit_name: str | None
    obligation_rule_id: str
    label: str
    deliverable: str
    due_at: datetime
    state: str
    progress: DeadlineProgress
    lapsed_at: datetime | None
    fulfilled_at: datetime | None
    fulfilled_by_name: str | None
    document: str | None


async def list_obligations(tx: Transaction, user: Account) -> list[ObligationDetails]:
    """Return the obligations that this person may see: open ones first, by due time."""
    days = await calendar.current(tx)
    return [_details(row, days, tx.now) for row in await obligations.find(tx, user)]


def _details(
    row: ObligationRow,
    days: WorkCalendar,
    now: datetime,
) -> ObligationDetails:
    obligation = row.obligation
    return ObligationDetails(
        id=obligation.id,
        campaign_id=obligation.campaign_id,
        unit_id=obligation.unit_id,
        unit_name=row.unit_name,
        obligation_rule_id=obligation.obligation_rule_id,
        label=obligation.label,
        deliverable=obligation.deliverable,
        due_at=row.deadline.due_at,
        state=row.deadline.state,
        progress=progress(row.deadline, days, now),
        lapsed_at=row.deadline.lapsed_at,
        fulfilled_at=obligation.fulfilled_at,
        fulfilled_by_name=obligation.fulfilled_by_name,
        document=obligation.document,
    )
