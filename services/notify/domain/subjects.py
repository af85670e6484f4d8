"""What a notification is about: a case, an obligation, a visit or a unit's score."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.notify.domain.rules import NotificationRule
from shared.appraisal.events import (
    CaseEvent,
    CaseReturned,
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
    Event,
    ObligationEvent,
    ScoreChanged,
    VisitSubmitted,
)


@dataclass(frozen=True, slots=True)
class NotificationSubject:
    """The subject of a notification.

    `number` is the name people know it by: the number of a case, the label of an obligation, the
    name of a unit. `id` is the key of the aggregate. `unit_id` is the responsible unit.
    """

    number: str
    id: str
    unit_id: str | None = None
    stage: str = ""
    due_at: datetime | None = None
    provisional: bool = False


class Labels(Protocol):
    """Names of units and obligations."""

    def unit_name(self, unit_id: str | None) -> str: ...

    def obligation_label(self, campaign_id: str, rule_id: str) -> str: ...


def subject_of(event: Event, rule: NotificationRule, labels: Labels) -> NotificationSubject:
    """Return the subject of an event that has a rule."""
    match event:
        case DeadlineWarned() | DeadlineLapsed():
            return _deadline_subject(event)
        case CaseReturned():
            return NotificationSubject(event.number, event.key, event.from_unit_id, rule.stage)
        case CaseEvent():
            return _case_subject(event, rule.stage)
        case ObligationEvent():
            return _obligation_subject(event, rule.stage, labels)
        case VisitSubmitted():
            # Without the unit: a preview must not reveal a covert visit.
            return NotificationSubject(event.number, event.key)
        case ScoreChanged():
            return NotificationSubject(labels.unit_name(event.unit_id), event.key, event.unit_id)
    raise AssertionError(f"{event.name} has a rule and no subject")


def _deadline_subject(event: DeadlineWarned | DeadlineLapsed) -> NotificationSubject:
    return NotificationSubject(
        event.number,
        event.key,
        event.unit_id,
        event.deadline,
        event.due_at,
    )


def _obligation_subject(
    event: ObligationEvent,
    stage: str,
    labels: Labels,
) -> NotificationSubject:
    label = labels.obligation_label(event.campaign_id, event.obligation_rule_id)
    return NotificationSubject(label, event.key, event.unit_id, stage, event.due_at)


def _case_subject(event: CaseEvent, stage: str) -> NotificationSubject:
    deadline = _deadline_of_stage(getattr(event, "deadlines", ()), stage)
    return NotificationSubject(
        event.number,
        event.key,
        event.unit_id,
        stage,
        deadline.due_at if deadline else None,
        deadline.provisional if deadline else False,
    )


def _deadline_of_stage(deadlines: Iterable[DeadlineSet], stage: str) -> DeadlineSet | None:
    return next((deadline for deadline in deadlines if deadline.kind == stage), None)
