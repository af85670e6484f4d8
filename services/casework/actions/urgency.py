"""提高紧急程度: a case gets the shorter limits of a higher urgency from now on."""

from typing import Final

from services.casework.actions.cases import event_fields, record_system_entry
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.states import OPEN_STATES, URGENCY_RAISED
from services.casework.store import cases
from services.casework.tables import Case
from shared.appraisal.events import CaseRescheduled, ComplaintUrgencyRaised
from shared.appraisal.labels import CaseSource, Urgency
from shared.storage.transaction import Transaction

RISING: Final = tuple(Urgency)


async def raise_urgency(tx: Transaction, event: ComplaintUrgencyRaised) -> None:
    """Raise the urgency of the open case of a complaint; a lower or equal one changes nothing."""
    case = await cases.lock_of_source(tx, CaseSource.COMPLAINT, event.complaint_id)
    if case is None or case.state not in OPEN_STATES:
        return
    if RISING.index(event.urgency) <= RISING.index(Urgency(case.urgency)):
        return
    case.urgency = event.urgency
    record_system_entry(tx, case, URGENCY_RAISED)
    await _shorten_deadlines(tx, case)


async def _shorten_deadlines(tx: Transaction, case: Case) -> None:
    """Replace each deadline that is not yet due if the new limit, counted from now, ends sooner."""
    deadlines = await CaseDeadlines.of(tx, case)
    shortened = [kind for kind in DeadlineKind if deadlines.shorten(kind)]
    if shortened:
        tx.publish(
            CaseRescheduled(
                occurred_at=tx.now,
                calendar_version=deadlines.calendar.version,
                deadlines=deadlines.sets(*shortened),
                **event_fields(case),
            )
        )
