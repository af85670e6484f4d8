"""Record what casework publishes about complaints, and the complainant's rating."""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from services.intake.actions.complaints import PUBLIC_ACTOR
from services.intake.domain.progress import RATING_REASON_MAX
from services.intake.store import campaigns, findings
from services.intake.store import progress as store
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseEvent,
    CaseExtended,
    CaseNotAccepted,
    CaseOpened,
    CaseRescheduled,
    CaseReturned,
    CaseWithdrawn,
    ComplaintRated,
    DeadlineSet,
)
from shared.appraisal.labels import CaseSource, CaseStage
from shared.appraisal.schemes import Option
from shared.security.pii import mask_pii
from shared.storage.transaction import Transaction

Columns = dict[str, Any]
"""Changed columns of `progress`, as JSON values."""


async def rate_complaint(
    tx: Transaction,
    complaint_id: UUID,
    *,
    option: int,
    reason: str = "",
) -> None:
    """Record how the complainant rates the handling, once.

    Raises Rejected: 409 before closing or if rated already, 422 for an invalid option or reason.
    """
    progress = await store.get(tx, complaint_id)
    campaign = await campaigns.get(tx, progress.campaign_id)
    _check_rating(campaign.scheme.options, option, reason)
    if not progress.may_rate:
        raise Rejected("这件诉求已经评价过，或还没有办结")
    # The reason is not encrypted, so it must not contain personal data.
    masked = mask_pii(reason.strip())
    if await store.rate(tx, complaint_id, option=option, reason=masked):
        tx.audit("complaint.rated", complaint_id, PUBLIC_ACTOR, option=option)
        tx.publish(
            ComplaintRated(
                occurred_at=tx.now,
                complaint_id=complaint_id,
                campaign_id=progress.campaign_id,
                option=option,
            )
        )


def _check_rating(
    options: Sequence[Option],
    number: int,
    reason: str,
) -> None:
    chosen = next((option for option in options if option.no == number), None)
    if chosen is None:
        raise Rejected("请选择一项评价", status=422, field="option")
    _check_reason(reason, required=chosen.asks_reason)


def _check_reason(reason: str, *, required: bool) -> None:
    if required and not reason.strip():
        raise Rejected("请说明不满意的原因，便于改进", status=422, field="reason")
    excess = len(reason) - RATING_REASON_MAX
    if excess > 0:
        sentence = f"原因最多 {RATING_REASON_MAX} 个字，已超出 {excess} 字"
        raise Rejected(sentence, status=422, field="reason")


# ── events of casework ────────────────────────────────────────────────────────────────────────────


async def record_case_events(tx: Transaction, events: Sequence[CaseEvent]) -> None:
    """Update the progress of complaints, and until when texts of findings have to be released."""
    await _record_finding_deadlines(tx, events)
    opened = _opened_by(CaseSource.COMPLAINT, events)
    started = await store.start(tx, opened) if opened else set()
    changes = _changes(events, started)
    if changes:
        await store.update(tx, changes)
    refused = [event.case_id for event in events if isinstance(event, CaseNotAccepted)]
    if refused:
        await store.drop_drafts_of_cases(tx, refused)
        await findings.drop_drafts_of_cases(tx, refused)


def _opened_by(source: CaseSource, events: Sequence[CaseEvent]) -> list[CaseOpened]:
    return [event for event in events if isinstance(event, CaseOpened) and event.source == source]


async def _record_finding_deadlines(tx: Transaction, events: Sequence[CaseEvent]) -> None:
    opened = _opened_by(CaseSource.VISIT, events)
    if opened:
        due = {each.source_id: (each.case_id, _release_due_at(each.deadlines)) for each in opened}
        await findings.set_deadlines(tx, due)
    moved = [event for event in events if isinstance(event, CaseRescheduled)]
    changed = {each.case_id: _release_due_at(each.deadlines) for each in moved}
    if known := {case_id: due_at for case_id, due_at in changed.items() if due_at}:
        await findings.change_deadlines(tx, known)


def _changes(events: Sequence[CaseEvent], started: Set[UUID]) -> dict[UUID, Columns]:
    """Return the changed columns of each case. Of cases opened, only those `started` change."""
    changes: dict[UUID, Columns] = {}
    for event in events:
        if isinstance(event, CaseOpened) and event.case_id not in started:
            continue
        case_changes = changes.setdefault(event.case_id, {})
        case_changes.update(_changed_columns(event))
    return changes


def _changed_columns(event: CaseEvent) -> Columns:
    return {
        "unit_id": event.unit_id,
        "updated_at": event.occurred_at,
        **_stage_columns(event),
    }


def _stage_columns(event: CaseEvent) -> Columns:
    match event:
        case CaseAssigned():
            return {"assigned_at": event.occurred_at, **_due_columns(event.deadlines)}
        case CaseAccepted():
            return {"accepted_at": event.occurred_at, **_due_columns(event.deadlines)}
        case (
            CaseReturned() | CaseWithdrawn()
        ):  # No unit is responsible until the case is assigned again.
            return {"assigned_at": None, "accepted_at": None}
        case CaseNotAccepted():
            return {"refused_at": event.occurred_at, "explanation": event.explanation}
        case CaseClosed():
            return {
                "closed_at": event.occurred_at,
                "finding": event.finding,
                "reply": event.reply,
            }
        case CaseOpened() | CaseExtended() | CaseRescheduled():
            return _due_columns(event.deadlines) | _release_columns(event.deadlines)
    raise TypeError(f"progress does not depend on {event.name}")


def _due_columns(deadlines: Sequence[DeadlineSet]) -> Columns:
    """Return the handling deadline, or {} if it is not among `deadlines`."""
    handling = next((each for each in deadlines if each.kind == CaseStage.HANDLE), None)
    if handling is None:
        return {}
    return {"due_at": handling.due_at, "provisional": handling.provisional}


def _release_columns(deadlines: Sequence[DeadlineSet]) -> Columns:
    """Return until when the redacted summary has to be released, or {} if it need not."""
    due_at = _release_due_at(deadlines)
    return {"release_due_at": due_at} if due_at else {}


def _release_due_at(deadlines: Sequence[DeadlineSet]) -> datetime | None:
    release = next((each for each in deadlines if each.kind == CaseStage.RELEASE), None)
    return release.due_at if release else None
