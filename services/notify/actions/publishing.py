"""Publishes the notifications that events cause."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from services.notify.domain.composition import (
    NewNotification,
    ReferenceData,
    ReopenedSubject,
    ResolvedStage,
    notifications_for,
    reopened_subject,
    resolved_stages,
)
from services.notify.domain.quiet_hours import earliest_send_time
from services.notify.domain.scores import next_baseline
from services.notify.settings import context_of
from services.notify.store import exclusions, notifications, reference
from services.notify.store.notifications import ScheduledNotification
from services.notify.store.reference import UnitInCampaign
from shared.appraisal.events import (
    CaseEvent,
    CaseOpened,
    CaseUnitsExcluded,
    Event,
    Meta,
    NotificationIssued,
    ObligationEvent,
    ScoreChanged,
)
from shared.storage.transaction import Transaction


async def notify_of_events(tx: Transaction, consumed: Sequence[tuple[Event, Meta]]) -> None:
    """Publish the notifications that events cause, then resolve those that events answer."""
    await _store_exclusions(tx, [event for event, _ in consumed])
    reference_data = await _load_reference(tx, [event for event, _ in consumed])
    new: list[NewNotification] = []
    resolved: list[ResolvedStage] = []
    reopened: list[ReopenedSubject] = []
    for event, meta in consumed:
        new.extend(notifications_for(event, meta, reference_data))
        resolved.extend(resolved_stages(event, meta))
        undone = reopened_subject(event, meta)
        if undone is not None:
            reopened.append(undone)
    await publish(tx, new)
    if resolved:
        await notifications.resolve(tx, resolved)
    if reopened:
        await notifications.reopen(tx, reopened)


async def _store_exclusions(tx: Transaction, events: Sequence[Event]) -> None:
    """Store who may not learn of a case, before anything is sent about it."""
    excluded = {
        event.key: event.excluded_unit_ids
        for event in events
        if isinstance(event, CaseUnitsExcluded)
    }
    if excluded:
        await exclusions.replace(tx, excluded)


async def notify_of_scores(tx: Transaction, consumed: Sequence[tuple[ScoreChanged, Meta]]) -> None:
    """Notify the office of units whose running score fell far below its baseline."""
    keys = {_unit_in_campaign(event) for event, _ in consumed}
    baselines = await reference.lock_score_baselines(tx, keys)
    fallen = [(event, meta) for event, meta in consumed if _fell(event, baselines)]
    await reference.upsert_score_baselines(tx, baselines)
    await notify_of_events(tx, fallen)


def _fell(event: ScoreChanged, baselines: dict[UnitInCampaign, Decimal]) -> bool:
    """Update the unit's baseline; return whether its score fell far below the old one."""
    if event.total is None:
        return False
    key = _unit_in_campaign(event)
    baselines[key], fell = next_baseline(baselines.get(key), event.total)
    return fell


def _unit_in_campaign(event: ScoreChanged) -> UnitInCampaign:
    return UnitInCampaign(event.campaign_id, event.unit_id)


async def publish(tx: Transaction, new: Sequence[NewNotification]) -> None:
    """Insert notifications in the order of their due times and publish the events about them."""
    if not new:
        return
    inserted = await notifications.insert(tx, _schedule(tx, new))
    for notification_id, notification in inserted.items():
        tx.publish(_issued(notification_id, notification, tx.now))


def _issued(
    notification_id: UUID,
    notification: NewNotification,
    now: datetime,
) -> NotificationIssued:
    return NotificationIssued(
        occurred_at=now,
        notification_id=notification_id,
        kind=notification.kind,
        roles=(notification.role,),
        unit_id=notification.audience_unit,
        subject_id=notification.subject_id,
    )


def _schedule(tx: Transaction, new: Sequence[NewNotification]) -> list[ScheduledNotification]:
    calendar = context_of(tx).calendar
    send_at = earliest_send_time(tx.now, urgent=False, calendar=calendar)
    ordered = sorted(new, key=lambda notification: notification.sort_key)
    return [ScheduledNotification(each, tx.now if each.urgent else send_at) for each in ordered]


async def _load_reference(tx: Transaction, events: Sequence[Event]) -> ReferenceData:
    """Load what the events' notifications need, in one statement for the whole batch."""
    case_events = [event for event in events if isinstance(event, CaseEvent)]
    opened = [event for event in events if isinstance(event, CaseOpened)]
    obligation_events = [event for event in events if isinstance(event, ObligationEvent)]
    return await reference.load_reference(
        tx,
        context_of(tx).calendar,
        units=_unit_ids(events),
        cases={event.case_id for event in case_events},
        campaigns={event.campaign_id for event in obligation_events},
        new_urgencies={event.case_id: event.urgency.value for event in opened},
    )


def _unit_ids(events: Sequence[Event]) -> set[str]:
    names = ("unit_id", "from_unit_id")
    ids = (getattr(event, name, None) for event in events for name in names)
    return {unit_id for unit_id in ids if unit_id}
