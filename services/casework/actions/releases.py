"""转办摘要: what a person released in intake reaches the case, and the case its unit."""

from collections.abc import Collection, Iterable
from datetime import date
from uuid import UUID

import msgspec

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
    FindingSummaryReleased,
)
from shared.appraisal.labels import CaseSource, ComplaintKind
from shared.storage.transaction import Transaction


class ReleasedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a person released for a unit. `received_on`: the day that the unit is shown."""

    source: CaseSource
    source_id: UUID
    redacted_summary: str
    received_on: date | None = None


def text_of_complaint(event: ComplaintSummaryReleased) -> ReleasedText:
    """Return the released text of a complaint; its day stays that of its receipt."""
    return ReleasedText(
        source=CaseSource.COMPLAINT,
        source_id=event.complaint_id,
        redacted_summary=event.redacted_summary,
    )


def text_of_finding(event: FindingSummaryReleased) -> ReleasedText:
    """Return the released text of a finding that was handed over."""
    return ReleasedText(
        source=CaseSource.VISIT,
        source_id=event.finding_id,
        redacted_summary=event.redacted_summary,
        received_on=event.received_on,
    )


async def apply_releases(
    tx: Transaction,
    texts: Iterable[ReleasedText],
    *,
    without: Collection[UUID] = (),
) -> None:
    """Apply released texts to their cases, except sources whose case opened with its text.

    A complaint that opened no case, such as a repetition, is ignored.
    """
    for text in texts:
        if text.source_id not in without:
            await _apply(tx, text)


async def _apply(tx: Transaction, text: ReleasedText) -> None:
    case = await cases.lock_of_source(tx, text.source, text.source_id)
    if case is None:
        return
    case.redacted_summary = text.redacted_summary
    if case.released_at is None:
        case.released_at = tx.now
        case.received_on = text.received_on or case.received_on
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
