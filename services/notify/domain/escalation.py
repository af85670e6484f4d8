"""Escalates lapsed deadlines that nobody resolves in time."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from services.notify.domain.composition import (
    NewNotification,
    Occurrence,
    ReferenceData,
    compose,
)
from services.notify.domain.rules import ESCALATION_RULE
from services.notify.domain.subjects import NotificationSubject


@dataclass(frozen=True, slots=True)
class EscalationCandidate:
    """A notified lapse whose time to escalate has come."""

    event_id: UUID
    version: int
    number: str
    subject_id: str
    unit_id: str | None
    stage: str
    due_at: datetime | None
    resolved: bool = False


def escalations_of(
    lapse: EscalationCandidate,
    reference: ReferenceData,
    *,
    now: datetime,
) -> list[NewNotification]:
    """Return the notifications that follow an unresolved lapse.

    Their event id is derived from the lapse's, so repeating the escalation inserts nothing.
    """
    subject = NotificationSubject(
        number=lapse.number,
        id=lapse.subject_id,
        unit_id=lapse.unit_id,
        stage=lapse.stage,
        due_at=lapse.due_at,
    )
    event_id = uuid5(lapse.event_id, ESCALATION_RULE.kind)
    occurrence = Occurrence(event_id, lapse.version, now, urgent=True)
    return compose(ESCALATION_RULE, subject, occurrence, reference)
