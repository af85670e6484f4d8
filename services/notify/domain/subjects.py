"""What a notification is about: a case, an obligation, a visit or a unit's score."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

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
    VisitHandedOver,
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


def subject_of(
    event: Event,
    rule: NotificationRule,
    labels: Labels,
) -> NotificationSubject:
    """Return the subject of an event that has a rule."""
    due = _due_date(event, rule)
    match event:
        case DeadlineWarned() | DeadlineLapsed():
            return NotificationSubject(event.number, event.key, event.unit_id, event.deadline, *due)
        case CaseReturned():
            return NotificationSubject(event.number, event.key, event.from_unit_id, rule.stage)
        case CaseEvent():
            return NotificationSubject(event.number, event.key, event.unit_id, rule.stage, *due)
        case ObligationEvent():
            label = labels.obligation_label(event.campaign_id, event.obligation_rule_id)
            return NotificationSubject(label, event.key, event.unit_id, rule.stage, *due)
        case VisitHandedOver():
            # Without the unit: a preview must not reveal who was inspected.
            return NotificationSubject(event.number, event.key)
        case ScoreChanged():
            return NotificationSubject(labels.unit_name(event.unit_id), event.key, event.unit_id)
    raise AssertionError(f"{event.name} has a rule and no subject")


class _DueDate(NamedTuple):
    at: datetime | None
    provisional: bool = False


def _due_date(event: Event, rule: NotificationRule) -> _DueDate:
    """Return the date that the rule names, or else the due date of its stage."""
    if rule.due_field:
        return _DueDate(getattr(event, rule.due_field))
    deadlines: Iterable[DeadlineSet] = getattr(event, "deadlines", ())
    for deadline in deadlines:
        if deadline.kind == rule.stage:
            return _DueDate(deadline.due_at, deadline.provisional)
    return _DueDate(None)
