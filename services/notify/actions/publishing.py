"""Publishes the notifications that events cause."""

from collections.abc import Sequence
from itertools import chain

from services.notify.domain.composition import (
    NewNotification,
    ReferenceData,
    notifications_for,
    resolved_stages,
)
from services.notify.domain.quiet_hours import earliest_send_time
from services.notify.domain.scores import next_baseline
from services.notify.settings import context_of
from services.notify.store import notifications, reference
from services.notify.store.notifications import ScheduledNotification
from services.notify.store.reference import UnitInCampaign
from shared.appraisal.events import (
    CaseEvent,
    CaseOpened,
    Event,
    Meta,
    NotificationIssued,
    ObligationEvent,
    ScoreChanged,
)
from shared.storage.transaction import Transaction


async def notify_of_events(tx: Transaction, consumed: Sequence[tuple[Event, Meta]]) -> None:
    """Publish the notifications that events cause, then resolve those that events answer."""
    reference_data = await _load_reference(tx, [event for event, _ in consumed])
    composed = (notifications_for(event, meta, reference_data) for event, meta in consumed)
    await publish(tx, list(chain.from_iterable(composed)))
    resolved = [stage for event, meta in consumed for stage in resolved_stages(event, meta)]
    if resolved:
        await notifications.resolve(tx, resolved)


async def notify_of_scores(tx: Transaction, consumed: Sequence[tuple[ScoreChanged, Meta]]) -> None:
    """Notify the office of units whose running score fell far below its baseline."""
    keys = {UnitInCampaign(event.campaign_id, event.unit_id) for event, _ in consumed}
    baselines = await reference.lock_score_baselines(tx, keys)
    fallen: list[tuple[Event, Meta]] = []
    for event, meta in consumed:
        if event.total is None:
            continue
        key = UnitInCampaign(event.campaign_id, event.unit_id)
        baselines[key], fell = next_baseline(baselines.get(key), event.total)
        if fell:
            fallen.append((event, meta))
    await reference.upsert_score_baselines(tx, baselines)
    await notify_of_events(tx, fallen)


async def publish(tx: Transaction, new: Sequence[NewNotification]) -> None:
    """Insert notifications in the order of their due times and publish the events about them."""
    if not new:
        return
    calendar = context_of(tx).calendar
    send_at = {
        urgent: earliest_send_time(tx.now, urgent=urgent, calendar=calendar)
        for urgent in (False, True)
    }
    ordered = sorted(new, key=lambda notification: notification.sort_key)
    scheduled = [ScheduledNotification(each, send_at[each.urgent]) for each in ordered]
    inserted = await notifications.insert(tx, scheduled)
    for id_, notification in inserted.items():
        tx.publish(
            NotificationIssued(
                occurred_at=tx.now,
                notification_id=id_,
                kind=notification.kind,
                roles=(notification.role,),
                unit_id=notification.audience_unit,
                subject_id=notification.subject_id,
            )
        )


async def _load_reference(tx: Transaction, events: Sequence[Event]) -> ReferenceData:
    """Load what the events' notifications need, in one statement for the whole batch."""
    opened = [event for event in events if isinstance(event, CaseOpened)]
    return await reference.load_reference(
        tx,
        context_of(tx).calendar,
        units=_unit_ids(events),
        cases={event.case_id for event in events if isinstance(event, CaseEvent)},
        campaigns={event.campaign_id for event in events if isinstance(event, ObligationEvent)},
        new_urgencies={event.case_id: event.urgency.value for event in opened},
    )


def _unit_ids(events: Sequence[Event]) -> set[str]:
    names = ("unit_id", "from_unit_id")
    ids = (getattr(event, name, None) for event in events for name in names)
    return {unit_id for unit_id in ids if unit_id}
