"""Notifications: inserting, resolving, escalating and deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from services.notify.domain.composition import NewNotification, ReopenedSubject, ResolvedStage
from services.notify.domain.escalation import EscalationCandidate
from services.notify.domain.rules import UNDOES
from services.notify.store.exclusions import HIDDEN_FROM_SUBSCRIPTION
from shared.foundation.tracing import current_traceparent
from shared.storage.transaction import Transaction, new_id

_notification_values = attrgetter(*(field.name for field in fields(NewNotification)))

_INSERT: Final = f"""
with given as (
  select * from unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::timestamptz[],
    $14::timestamptz[], $15::timestamptz[], $16::timestamptz[])
  with ordinality as g (
    id, event_id, role, unit_id, kind, number, subject_id,
    version, stage, text, link, urgent, due_at,
    occurred_at, escalate_at, send_at, place)
), inserted as (
  insert into notifications (
    id, event_id, role, unit_id, kind, number, subject_id, version, stage, text, link, urgent,
    due_at, occurred_at, escalate_at, created_at, trace)
  select
    id, event_id, role, unit_id, kind, number, subject_id, version, stage, text, link, urgent,
    due_at, occurred_at, escalate_at, $17, $18
  from given order by place
  on conflict (event_id, role) do nothing returning id
), queued as (
  insert into deliveries (
    id, notification_id, subscription_id, state, attempts, created_at, due_at, next_attempt_at)
  select uuidv7(), g.id, s.id, 'waiting', 0, $17, g.send_at, clock_timestamp()
  from inserted join given g using (id)
  join subscriptions s on s.role = g.role and s.stopped_at is null
    and (s.kinds = '{{}}' or g.kind = any(s.kinds))
    and (s.unit_id is null or s.unit_id = g.unit_id
      or s.unit_id = (select u.heir_id from units u where u.id = g.unit_id))
    and not {HIDDEN_FROM_SUBSCRIPTION}
  order by g.place
)
select id from inserted
"""


@dataclass(frozen=True, slots=True)
class ScheduledNotification:
    """A new notification and the earliest time of its deliveries."""

    notification: NewNotification
    send_at: datetime

    @property
    def column_values(self) -> tuple[Any, ...]:
        return *_notification_values(self.notification), self.send_at


async def insert(
    tx: Transaction,
    scheduled: Sequence[ScheduledNotification],
) -> dict[UUID, NewNotification]:
    """Insert the notifications that do not exist yet, in this order; return those by id.

    Queues a delivery for every subscription that matches.
    """
    by_id = {new_id(): each for each in scheduled}
    rows = [(id, *each.column_values) for id, each in by_id.items()]
    columns = zip(*rows, strict=True)
    inserted = await tx.fetch(_INSERT, *columns, tx.now, current_traceparent())
    inserted_ids = [row["id"] for row in inserted]
    return {id: by_id[id].notification for id in inserted_ids}


_RESOLVE: Final = """
with resolved as (
  update notifications n set resolved_at = $4, resolved_by = r.by
  from unnest($1::text[], $2::text[], $3::bigint[], $5::text[]) r (subject_id, stage, version, by)
  where n.subject_id = r.subject_id and n.stage = r.stage and n.version < r.version
    and n.resolved_at is null
  returning n.id
)
update deliveries d set state = 'withdrawn', ended_at = $4
from resolved where d.notification_id = resolved.id and d.state = 'waiting' and d.attempts = 0
"""


async def resolve(tx: Transaction, resolved: Sequence[ResolvedStage]) -> None:
    """Mark earlier notifications as resolved and withdraw their untried deliveries."""
    await tx.run(
        _RESOLVE,
        [each.subject_id for each in resolved],
        [each.stage for each in resolved],
        [each.version for each in resolved],
        tx.now,
        [each.by for each in resolved],
    )


async def reopen(tx: Transaction, reopened: Sequence[ReopenedSubject]) -> None:
    """Open again what an event resolved that was undone. Nothing is sent a second time."""
    await tx.run(
        """
        update notifications n set resolved_at = null, resolved_by = null
        from unnest($1::text[], $2::text[]) r (subject_id, by)
        where n.subject_id = r.subject_id and n.resolved_by = r.by
        """,
        [each.subject_id for each in reopened],
        [each.by for each in reopened],
    )


_CLAIM_ESCALATIONS: Final = """
update notifications set escalate_at = null where id in (
  select id from notifications where escalate_at <= public.app_now()
    and coalesce(resolved_by, '') <> all($2::text[])
  order by escalate_at limit $1 for update skip locked
) returning
  event_id, version, number, subject_id, unit_id, stage, due_at,
  resolved_at is not null as resolved
"""


async def claim_escalations(tx: Transaction, limit: int) -> list[EscalationCandidate]:
    """Return lapses that are due to escalate. Each is returned once.

    What was resolved by an event that can be undone waits, and escalates if it is undone.
    """
    rows = await tx.fetch(_CLAIM_ESCALATIONS, limit, [event.name for event in UNDOES.values()])
    return [EscalationCandidate(**row) for row in rows]


_DELETE_EXPIRED: Final = """
delete from notifications where id in (
  select id from notifications
  where created_at < $1::timestamptz - make_interval(days => $2) limit $3)
"""


async def delete_expired(
    tx: Transaction,
    *,
    retention_days: int,
    limit: int,
) -> int:
    """Delete old notifications with their receipts and deliveries; return how many."""
    return await tx.run(_DELETE_EXPIRED, tx.now, retention_days, limit)
