"""What the complainant may know: the progress of a complaint, asked for with number and code, and the
rating in the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.intake.domain.complaints import code_matches, read_code, read_number
from services.intake.domain.tracking import RATING_REASON_MAX, Passage, Step, steps
from services.intake.settings import context_of
from services.intake.store import campaigns
from services.intake.store import complaints as complaint_store
from services.intake.store import tracking as store
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
    ComplaintRated,
    DeadlineSet,
)
from shared.appraisal.schemes import Option
from shared.security.pii import mask_pii
from shared.storage.transaction import Transaction

NOBODY = UUID(int=0)
WRONG = "编号或查询码不正确，请核对后再试"
"""The same words for a number that is not there and a code that is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the query page shows: stages and dates, never a word of what was sent in."""

    row: Any
    steps: list[Step]
    options: list[Option]
    may_rate: bool


async def ask_progress(tx: Transaction, *, number: str, code: str) -> Answer:
    """The progress of a complaint, for whoever has its number and its code. Raises Rejected (404),
    the same for every mistake.
    """
    row = await complaint_store.by_number(tx, read_number(number))
    given = read_code(code)
    # The code is checked even when there is no such complaint, so that the time taken tells
    # nothing.
    matches = code_matches(
        context_of(tx).ring.derive_key("query-code"), row["id"] if row else NOBODY, given
    )
    if row is None or not given or not matches:
        raise Rejected(WRONG, status=404)
    return await progress_of(tx, row["id"])


async def progress_of(tx: Transaction, complaint_id: UUID) -> Answer:
    """The progress of a complaint, for its own complainant."""
    found = await store.progress(tx, complaint_id)
    assert found is not None, "asked for with the id of a complaint"
    passage = Passage(**{name: found[name] for name in Passage.__dataclass_fields__})
    campaign = await campaigns.get(tx, found["campaign_id"])
    may_rate = (
        found["closed_at"] is not None and found["rated"] is None and found["merged_number"] is None
    )
    return Answer(
        found, steps(found["received_at"], passage), list(campaign.scheme.options), may_rate
    )


async def rate(tx: Transaction, complaint_id: UUID, *, option: int, reason: str = "") -> None:
    """Keep the complainant's rating of how it was handled, once. Raises Rejected: 409 before closing
    or a second time, 422.
    """
    answer = await progress_of(tx, complaint_id)
    chosen = next((each for each in answer.options if each.no == option), None)
    if chosen is None:
        raise Rejected("请选择一项评价", status=422, field="option")
    if chosen.asks_reason and not reason.strip():
        raise Rejected("请说明不满意的原因，便于改进", status=422, field="reason")
    if len(reason) > RATING_REASON_MAX:
        raise Rejected(
            f"原因最多 {RATING_REASON_MAX} 个字，已超出 {len(reason) - RATING_REASON_MAX} 字",
            status=422,
            field="reason",
        )
    if not answer.may_rate:
        raise Rejected("这件诉求已经评价过，或还没有办结")
    # The reason is not sealed, so it must not hold personal data.
    if await store.rate(tx, complaint_id, option=option, reason=mask_pii(reason.strip())):
        tx.audit("complaint.rated", complaint_id, "public", option=option)
        tx.publish(
            ComplaintRated(
                occurred_at=tx.now,
                complaint_id=complaint_id,
                campaign_id=answer.row["campaign_id"],
                option=option,
            )
        )


# ── what casework tells ───────────────────────────────────────────────────────────────────────────


async def note_cases(tx: Transaction, events: Sequence[CaseEvent]) -> None:
    """What casework tells about cases of complaints; of an inspection's case there is nobody to
    tell.
    """
    opened = [
        event for event in events if isinstance(event, CaseOpened) and event.source == "complaint"
    ]
    begun = await store.open_progress(tx, opened) if opened else set()
    changes: dict[UUID, dict[str, Any]] = {}
    for event in events:
        if not isinstance(event, CaseOpened) or str(event.case_id) in begun:
            common = {"unit_id": event.unit_id, "updated_at": event.occurred_at}
            changes.setdefault(event.case_id, {}).update(common | _changes(event))
    if changes:
        await store.note(tx, changes)


def _changes(event: CaseEvent) -> dict[str, Any]:
    """What an event changes in the progress of its complaint, by column."""
    match event:
        case CaseAssigned():
            return {"assigned_at": event.occurred_at, **_handling(event.deadlines)}
        case CaseAccepted():
            return {"accepted_at": event.occurred_at, **_handling(event.deadlines)}
        case CaseReturned():  # The complainant sees that nobody is responsible, until it is assigned again.
            return {"assigned_at": None, "accepted_at": None}
        case CaseNotAccepted():
            return {"refused_at": event.occurred_at, "explanation": event.explanation}
        case CaseClosed():
            return {"closed_at": event.occurred_at, "finding": event.finding, "reply": event.reply}
        case CaseOpened() | CaseExtended() | CaseRescheduled():
            return _handling(event.deadlines)
    raise TypeError(f"no complainant hears of {event.name}")


def _handling(deadlines: Sequence[DeadlineSet]) -> dict[str, Any]:
    """The handling deadline among those set, as columns; {} when it is not."""
    found = next((each for each in deadlines if each.kind == "handle"), None)
    return {"due_at": found.due_at, "provisional": found.provisional} if found else {}
