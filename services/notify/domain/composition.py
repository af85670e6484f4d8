"""Turns events into notifications, one per audience."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.notify.domain.audience import UNIT_ROLES, Audience
from services.notify.domain.links import link_to
from services.notify.domain.rules import (
    RESOLVES_STAGES,
    RULES_BY_EVENT,
    UNDOES,
    NotificationKind,
    NotificationRule,
)
from services.notify.domain.stages import STAGES
from services.notify.domain.subjects import NotificationSubject, subject_of
from services.notify.domain.templates import render
from shared.appraisal.calendar.deadlines import due_for_units, due_label
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day, closing
from shared.appraisal.events import CaseEvent, Event, Meta

ESCALATION_WORKING_DAYS = 3


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """What composing notifications needs to know besides the events.

    `units` and `obligations` hold labels, `critical_cases` the 特急 cases, `texts` the current
    templates by kind.
    """

    calendar: WorkCalendar
    units: Mapping[str, str] = field(default_factory=dict)
    obligations: Mapping[tuple[str, str], str] = field(default_factory=dict)
    critical_cases: frozenset[UUID] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)

    def unit_name(self, unit_id: str | None) -> str:
        """Return the unit's name, or a general word if it is unknown."""
        return self.units.get(unit_id or "", "承办单位")

    def obligation_label(self, campaign_id: str, rule_id: str) -> str:
        """Return the obligation's label, or a general word if it is unknown."""
        return self.obligations.get((campaign_id, rule_id), "规定事项")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A row of `notifications` before it is inserted. `unit_id` is the responsible unit."""

    event_id: UUID
    role: Audience
    unit_id: str | None
    kind: NotificationKind
    number: str
    subject_id: str
    version: int
    stage: str
    text: str
    link: str
    urgent: bool
    due_at: datetime | None
    occurred_at: datetime
    escalate_at: datetime | None = None

    @property
    def sort_key(self) -> datetime:
        """Notifications of one batch are inserted and sent in the order of their due times."""
        return self.due_at or self.occurred_at

    @property
    def audience_unit(self) -> str | None:
        """The unit whose people read it; None for roles that act for all units."""
        return self.unit_id if self.role in UNIT_ROLES else None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """The event that a notification reports."""

    event_id: UUID
    version: int
    occurred_at: datetime
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedStage:
    """Resolves the notifications about a subject that asked for `stage` before `version`.

    `by`: the wire name of the event that answers them.
    """

    subject_id: str
    stage: str
    version: int
    by: str = field(default="", compare=False)


def notifications_for(
    event: Event,
    meta: Meta,
    reference: ReferenceData,
) -> list[NewNotification]:
    """Return the notifications that an event causes; empty if nobody is notified."""
    rule = RULES_BY_EVENT.get(type(event))
    if rule is None:
        return []
    subject = subject_of(event, rule, reference)
    critical = isinstance(event, CaseEvent) and event.case_id in reference.critical_cases
    urgent = rule.urgent or critical
    occurrence = Occurrence(meta.event_id, meta.version, event.occurred_at, urgent=urgent)
    return compose(rule, subject, occurrence, reference)


def compose(
    rule: NotificationRule,
    subject: NotificationSubject,
    occurrence: Occurrence,
    reference: ReferenceData,
) -> list[NewNotification]:
    """Return one notification for each role that `rule` addresses."""
    composed: list[NewNotification] = []
    for role in _recipients(rule, subject):
        text = _compose_text(rule, _as_seen_by(role, subject), reference)
        escalate_at = _escalation_time(rule, role, occurrence, reference.calendar)
        notification = _addressed_to(
            role,
            rule,
            subject,
            occurrence,
            text=text,
            escalate_at=escalate_at,
        )
        composed.append(notification)
    return composed


def _as_seen_by(role: Audience, subject: NotificationSubject) -> NotificationSubject:
    """The subject as this role may know it: a unit never learns a minute by its deadline."""
    if role not in UNIT_ROLES or subject.due_at is None:
        return subject
    return replace(subject, due_at=due_for_units(subject.due_at))


def _addressed_to(
    role: Audience,
    rule: NotificationRule,
    subject: NotificationSubject,
    occurrence: Occurrence,
    *,
    text: str,
    escalate_at: datetime | None,
) -> NewNotification:
    return NewNotification(
        event_id=occurrence.event_id,
        role=role,
        unit_id=subject.unit_id,
        kind=rule.kind,
        number=subject.number,
        subject_id=subject.id,
        version=occurrence.version,
        stage=subject.stage,
        text=text,
        link=link_to(rule.kind, subject),
        urgent=occurrence.urgent,
        due_at=subject.due_at,
        occurred_at=occurrence.occurred_at,
        escalate_at=escalate_at,
    )


def resolved_stages(event: Event, meta: Meta) -> list[ResolvedStage]:
    """Return the stages of earlier notifications that an event resolves."""
    stages = RESOLVES_STAGES.get(type(event), ())
    return [ResolvedStage(meta.key, stage, meta.version, by=event.name) for stage in stages]


@dataclass(frozen=True, slots=True)
class ReopenedSubject:
    """Opens again what the event `by` resolved about a subject."""

    subject_id: str
    by: str


def reopened_subject(event: Event, meta: Meta) -> ReopenedSubject | None:
    """Return what an event opens again; None if it undoes nothing."""
    undone = UNDOES.get(type(event))
    return ReopenedSubject(meta.key, undone.name) if undone else None


def _recipients(rule: NotificationRule, subject: NotificationSubject) -> Sequence[Audience]:
    owners = _stage_owners(subject.stage) if rule.notifies_owners else ()
    # The deadlines of reviewers and supervisors (分办, 审核) do not concern the head of a unit.
    skips_unit_head = rule.notifies_owners and Audience.HANDLER not in owners
    skipped = {Audience.UNIT_HEAD} if skips_unit_head else set()
    others = [role for role in rule.roles if role not in skipped]
    roles = dict.fromkeys((*owners, *others))
    return [role for role in roles if subject.unit_id or role not in UNIT_ROLES]


def _stage_owners(stage: str) -> tuple[Audience, ...]:
    return STAGES[stage].owners if stage in STAGES else ()


def _compose_text(
    rule: NotificationRule,
    subject: NotificationSubject,
    reference: ReferenceData,
) -> str:
    template = reference.texts.get(rule.kind, rule.text)
    return render(template, _template_values(rule, subject, reference))


def _template_values(
    rule: NotificationRule,
    subject: NotificationSubject,
    reference: ReferenceData,
) -> dict[str, str]:
    return {
        "编号": subject.number,
        "单位": reference.unit_name(subject.unit_id),
        "链接": link_to(rule.kind, subject),
        "期限": _due_text(subject),
        "环节": _stage_label(subject.stage),
    }


def _due_text(subject: NotificationSubject) -> str:
    if subject.due_at is None:
        return "规定期限"
    return due_label(subject.due_at, subject.provisional)


def _stage_label(stage: str) -> str:
    return STAGES[stage].label if stage in STAGES else "期限"


def _escalation_time(
    rule: NotificationRule,
    role: Audience,
    occurrence: Occurrence,
    calendar: WorkCalendar,
) -> datetime | None:
    if not rule.escalates or role is not Audience.SUPERVISOR:
        return None
    lapsed_on = civil_day(occurrence.occurred_at)
    last_day = calendar.add_working_days(lapsed_on, ESCALATION_WORKING_DAYS)
    return closing(last_day.day)
