"""暂停计时 and 恢复计时: the handling deadline is suspended for a reason of the rules."""

from datetime import datetime, timedelta

from services.casework.actions.cases import event_fields, load_case, record_transition
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.assignment import find_reason
from services.casework.domain.deadlines import DeadlineKind, DeadlineState, DeadlineTerms
from services.casework.domain.states import CaseAction
from services.casework.store import cases, context_of
from services.casework.tables import Case, Suspension
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CasePaused, CaseRescheduled
from shared.security.policies import Account
from shared.storage.transaction import Transaction

PAUSE_DAYS_MAX = 90


async def pause_case(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    until: datetime,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """暂停计时 until an instant at which the case resumes by itself."""
    case = await load_case(tx, number, CaseAction.PAUSE, by, expected_version=expected_version)
    deadlines = await CaseDeadlines.of(tx, case)
    chosen = find_reason(deadlines.rules.pause_reasons, reason)
    if not tx.now < until <= tx.now + timedelta(days=PAUSE_DAYS_MAX):
        raise Rejected(f"恢复日期应在今天之后、{PAUSE_DAYS_MAX} 日之内", status=422, field="until")
    row = deadlines.running(DeadlineKind.HANDLE)
    if row is None:
        raise Rejected("办理期限已过，不能暂停计时")
    row.state = DeadlineState.PAUSED
    row.next_warn_at = None
    tx.add(
        Suspension(
            case_id=case.id,
            reason=chosen.code,
            since=tx.now,
            until=until,
        )
    )
    record_transition(
        tx,
        case,
        CaseAction.PAUSE,
        by,
        chosen.label,
        reason=chosen.code,
        until=until.isoformat(),
    )
    tx.publish(
        CasePaused(occurred_at=tx.now, reason=chosen.code, until=until, **event_fields(case))
    )
    return case


async def resume_case(
    tx: Transaction,
    *,
    number: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """恢复计时 before the agreed day."""
    case = await load_case(tx, number, CaseAction.RESUME, by, expected_version=expected_version)
    suspensions = await cases.suspensions(tx, case.id)
    current = next(each for each in suspensions if each.ended_at is None)
    await _resume(tx, case, current, by)
    return case


async def resume_due_cases(tx: Transaction) -> bool:
    """Resume a batch of cases whose agreed day has come. Returns whether there may be more."""
    batch = context_of(tx).sweep_batch
    due = await cases.lock_due_suspensions(tx, batch)
    for case, suspension in due:
        await _resume(tx, case, suspension, by=None)
    return len(due) == batch


async def _resume(
    tx: Transaction,
    case: Case,
    suspension: Suspension,
    by: Account | None,
) -> None:
    suspension.ended_at = tx.now
    deadlines = await CaseDeadlines.of(tx, case)
    row = deadlines.active(DeadlineKind.HANDLE)
    assert row is not None, "a paused case has a handling deadline"
    row.state = DeadlineState.RUNNING
    suspensions = await cases.suspensions(tx, case.id)
    deadlines.recompute(row, DeadlineTerms.from_json(row.terms), suspensions)
    record_transition(tx, case, CaseAction.RESUME, by, due_at=row.due_at.isoformat())
    tx.publish(
        CaseRescheduled(
            occurred_at=tx.now,
            calendar_version=row.calendar_version,
            deadlines=deadlines.sets(DeadlineKind.HANDLE),
            **event_fields(case),
        )
    )
