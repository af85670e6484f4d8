"""What time alone causes: warnings and lapses, each published exactly once, and the gauges."""

from services.casework.actions.deadlines import count_deadline
from services.casework.store import calendar, context_of, deadlines, supervision
from services.casework.store.deadlines import ClaimedDeadline
from shared.appraisal.events import (
    DeadlineLapsed,
    DeadlineWarned,
    ObligationLapsed,
    ObligationWarned,
)
from shared.foundation import telemetry
from shared.foundation.clock import real_now
from shared.storage.transaction import Transaction


async def publish_lapses(tx: Transaction) -> bool:
    """Publish a batch of lapses, oldest first. Returns whether there may be more."""
    batch = context_of(tx).sweep_batch
    claimed = await deadlines.claim_lapsed(tx, batch)
    for deadline in claimed:
        tx.publish(_lapse(tx, deadline))
        count_deadline("lapsed", deadline.kind, deadline.late_seconds)
    telemetry.deadline_sweep_success.set(real_now().timestamp())
    return len(claimed) == batch


async def publish_warnings(tx: Transaction) -> bool:
    """Publish a batch of warnings. Returns whether there may be more."""
    batch = context_of(tx).sweep_batch
    claimed = await deadlines.claim_warned(tx, batch)
    for deadline in claimed:
        tx.publish(_warning(tx, deadline))
        count_deadline("warned", deadline.kind, deadline.late_seconds)
    return len(claimed) == batch


def _lapse(tx: Transaction, deadline: ClaimedDeadline) -> DeadlineLapsed | ObligationLapsed:
    # The statement's clock may be microseconds ahead of the transaction's; a lapse never occurs
    # before the deadline is due.
    at = max(tx.now, deadline.due_at)
    if deadline.case_id:
        return DeadlineLapsed(occurred_at=at, **deadline.case_fields)
    return ObligationLapsed(occurred_at=at, **deadline.obligation_fields)


def _warning(tx: Transaction, deadline: ClaimedDeadline) -> DeadlineWarned | ObligationWarned:
    if deadline.case_id:
        return DeadlineWarned(occurred_at=tx.now, **deadline.case_fields)
    return ObligationWarned(occurred_at=tx.now, **deadline.obligation_fields)


async def update_gauges(tx: Transaction) -> bool:
    """Set the gauges of open cases, and of the days for which the calendar is certain."""
    telemetry.cases_open.clear()
    for count in await supervision.count_open(tx):
        telemetry.cases_open.labels(count.deadline_status, count.state).set(count.cases)
    work_calendar = await calendar.current(tx)
    telemetry.calendar_days_ahead.set(work_calendar.days_ahead(tx.now))
    return False
