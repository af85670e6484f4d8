"""并案: the case of a complaint that repeats another one ends, and goes on if that is undone.

A reviewer merges complaints in intake. No deadline of the other case moves.
"""

from services.casework.actions.cases import event_fields, record_system_entry, record_transition
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.actions.exclusions import end_requests, take_from_unit
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.states import (
    ENDED_STATES,
    UNMERGED,
    WITH_UNIT,
    CaseAction,
    CaseState,
)
from services.casework.store import cases
from services.casework.tables import CaseMerger
from shared.appraisal.events import CaseMerged, CaseUnmerged, ComplaintMerged, ComplaintUnmerged
from shared.appraisal.labels import CaseSource
from shared.storage.transaction import Transaction


async def merge_case(tx: Transaction, event: ComplaintMerged) -> None:
    """End the case of a merged complaint. One that has ended already keeps its result."""
    case = await cases.lock_of_source(tx, CaseSource.COMPLAINT, event.complaint_id)
    if case is None or case.state in ENDED_STATES:
        return
    deadlines = await CaseDeadlines.of(tx, case)
    active = [row for row in deadlines.rows if row.is_active]
    tx.add(
        CaseMerger(
            case_id=case.id,
            into_complaint_id=event.into_id,
            state=case.state,
            deadline_ids=[row.id for row in active],
            merged_at=tx.now,
        )
    )
    deadlines.cancel(*(DeadlineKind(row.kind) for row in active))
    record_transition(tx, case, CaseAction.MERGE, None)
    tx.publish(CaseMerged(occurred_at=tx.now, **event_fields(case)))


async def unmerge_case(tx: Transaction, event: ComplaintUnmerged) -> None:
    """Let the case go on where it was, with its old deadlines.

    One that has passed meanwhile lapses now, and a unit that was excluded meanwhile loses the case.
    """
    case = await cases.lock_of_source(tx, CaseSource.COMPLAINT, event.complaint_id)
    merger = await cases.open_merger(tx, case.id) if case else None
    if case is None or merger is None:
        return
    deadlines = await CaseDeadlines.of(tx, case)
    is_barred = case.unit_id in case.excluded_unit_ids and merger.state in WITH_UNIT
    if is_barred:
        await end_requests(tx, case)
    merger.undone_at = tx.now
    case.state = CaseState(merger.state)
    case.version += 1
    deadlines.reopen(merger.deadline_ids, paused=case.state == CaseState.PAUSED)
    record_system_entry(tx, case, UNMERGED)
    active = deadlines.sets(*DeadlineKind)
    tx.publish(CaseUnmerged(occurred_at=tx.now, deadlines=active, **event_fields(case)))
    if is_barred:
        take_from_unit(tx, deadlines)
