"""转办摘要: what a person released in intake reaches the case, and the case its unit."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.casework.actions.assignment import assign_as_named
from services.casework.actions.cases import event_fields, record_system_entry
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.assignment import directly_assigned_unit
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.states import RELEASED, SUMMARY_CORRECTED, CaseState
from services.casework.store import cases
from services.casework.tables import Case
from shared.appraisal.events import (
    CaseReleased,
    CaseSummaryCorrected,
    ComplaintSummaryReleased,
)
from shared.appraisal.labels import ComplaintKind
from shared.storage.transaction import Transaction


async def apply_releases(
    tx: Transaction,
    events: Sequence[ComplaintSummaryReleased],
    *,
    without: Collection[UUID] = (),
) -> None:
    """Apply released summaries to their cases, except complaints whose case opened with theirs.

    A complaint that opened no case, such as a repetition, is ignored.
    """
    for event in events:
        if event.complaint_id not in without:
            await _apply(tx, event)


async def _apply(tx: Transaction, event: ComplaintSummaryReleased) -> None:
    case = await cases.lock_of_complaint(tx, event.complaint_id)
    if case is None:
        return
    case.redacted_summary = event.redacted_summary
    if case.released_at is None:
        case.released_at = tx.now
        await _release(tx, case)
    else:
        _correct(tx, case)


async def _release(tx: Transaction, case: Case) -> None:
    """放行: hand the case to the unit it names, or let a reviewer assign it."""
    deadlines = await CaseDeadlines.of(tx, case)
    deadlines.complete(DeadlineKind.RELEASE)
    record_system_entry(tx, case, RELEASED)
    if case.state != CaseState.PENDING:
        return
    unit_id = directly_assigned_unit(ComplaintKind(case.kind), case.named_unit_id, deadlines.rules)
    if unit_id is None:
        tx.publish(CaseReleased(occurred_at=tx.now, **event_fields(case)))
    else:
        assign_as_named(tx, deadlines, unit_id)


def _correct(tx: Transaction, case: Case) -> None:
    """更正摘要: the unit that has the case reads the new text and is notified of it."""
    record_system_entry(tx, case, SUMMARY_CORRECTED)
    if case.unit_id is not None:
        tx.publish(CaseSummaryCorrected(occurred_at=tx.now, **event_fields(case)))
