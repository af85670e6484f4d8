"""Deliveries: claiming, recording results, and the delivery log."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from services.notify.domain.delivery import DeliveryFilter
from shared.security.keyring import SealedRecord
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this sender worker attempts, with everything that sending needs."""

    id: UUID
    notification_id: UUID
    subscription_id: UUID
    attempts: int
    kind: str
    number: str
    text: str
    link: str
    due_at: datetime | None
    occurred_at: datetime
    trace: str | None
    channel: str
    ciphertext: bytes = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)
    key_version: int

    @property
    def sealed_address(self) -> SealedRecord:
        return SealedRecord(self.ciphertext, self.wrapped_key, self.key_version)


# A wait of more than a day was set while the clock had jumped: it is ignored.
_CLAIM: Final = """
with due as (
  select d.id from deliveries d join subscriptions s on s.id = d.subscription_id
  where d.state = 'waiting' and d.due_at <= public.app_now()
    and d.next_attempt_at not between clock_timestamp() and clock_timestamp() + interval '1 day'
    and s.stopped_at is null
    and (s.paused_until is null or s.paused_until
         not between clock_timestamp() and clock_timestamp() + interval '1 day')
  order by d.due_at, d.id limit $1 for update of d skip locked
)
update deliveries d set
  attempts = d.attempts + 1,
  next_attempt_at = clock_timestamp() + make_interval(secs => $2)
from due, notifications n, subscriptions s
where d.id = due.id and n.id = d.notification_id and s.id = d.subscription_id
returning
  d.id, d.notification_id, d.subscription_id, d.attempts, n.kind, n.number, n.text, n.link,
  n.due_at, n.occurred_at, n.trace, s.channel, s.ciphertext, s.wrapped_key, s.key_version
"""


async def claim(
    tx: Transaction,
    *,
    limit: int,
    lease_seconds: float,
) -> list[ClaimedDelivery]:
    """Claim deliveries that may be sent now. No other worker claims them during the lease."""
    rows = await tx.fetch(_CLAIM, limit, lease_seconds)
    claimed = [ClaimedDelivery(**row) for row in rows]
    return sorted(claimed, key=lambda delivery: delivery.id)


# The subscription is locked before its deliveries, as when it is stopped; the opposite order would
# deadlock.
_LOCK_SUBSCRIPTION: Final = """owner as (
  select s.id from subscriptions s
  where s.id = (select subscription_id from deliveries where id = $1) for update
)"""
_MARK_DELIVERED: Final = f"""
with {_LOCK_SUBSCRIPTION}, ended as (
  update deliveries d set state = 'delivered', ended_at = $2, reason = null
  from owner where d.id = $1 and d.state = 'waiting' returning owner.id
)
update subscriptions s set failing_since = null, paused_until = null
from ended where s.id = ended.id
"""


async def mark_delivered(tx: Transaction, delivery_id: UUID) -> bool:
    """Record a successful attempt. Return False if the delivery had ended before."""
    return bool(await tx.run(_MARK_DELIVERED, delivery_id, tx.now))


_MARK_FAILED: Final = """
update deliveries set state = 'failed', ended_at = $2, reason = $3
where id = $1 and state = 'waiting'
"""


async def mark_failed(
    tx: Transaction,
    delivery_id: UUID,
    reason: str,
) -> bool:
    """Record that no further attempt follows. Return False if the delivery had ended before."""
    return bool(await tx.run(_MARK_FAILED, delivery_id, tx.now, reason))


_SCHEDULE_RETRY: Final = f"""
with {_LOCK_SUBSCRIPTION}, postponed as (
  update deliveries d set
    reason = $2, next_attempt_at = clock_timestamp() + make_interval(secs => $3)
  from owner where d.id = $1 and d.state = 'waiting' returning owner.id
)
update subscriptions s set
  failing_since = coalesce(s.failing_since, $5),
  paused_until = clock_timestamp() + make_interval(secs => $4)
from postponed where s.id = postponed.id
"""


async def schedule_retry(
    tx: Transaction,
    delivery_id: UUID,
    reason: str,
    *,
    delay_seconds: float,
    cooldown_seconds: float,
) -> None:
    """Attempt the delivery again after the delay, and pause its subscription for the cooldown."""
    await tx.run(_SCHEDULE_RETRY, delivery_id, reason, delay_seconds, cooldown_seconds, tx.now)


_REQUEUE: Final = """
update deliveries d set
  state = 'waiting', attempts = 0, ended_at = null, due_at = $2, next_attempt_at = clock_timestamp()
from subscriptions s
where d.id = $1 and d.state = 'failed' and s.id = d.subscription_id and s.stopped_at is null
"""


async def requeue(tx: Transaction, delivery_id: UUID) -> bool:
    """Queue a failed delivery again under its id. Return False if there is none to requeue."""
    return bool(await tx.run(_REQUEUE, delivery_id, tx.now))


_WITHDRAW: Final = """
update deliveries set state = 'withdrawn', ended_at = $2
where subscription_id = $1 and state = 'waiting'
"""


async def withdraw_for_subscription(tx: Transaction, subscription_id: UUID) -> None:
    """Withdraw the deliveries that still wait for a subscription."""
    await tx.run(_WITHDRAW, subscription_id, tx.now)


async def count_waiting(tx: Transaction, *, due_until: datetime) -> int:
    """Return the number of deliveries that are due by then."""
    count: int = await tx.fetchval(
        "select count(*) from deliveries where state = 'waiting' and due_at <= $1", due_until
    )
    return count


# ── log ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DeliveryLogEntry:
    """A delivery with its notification and its subscription."""

    id: UUID
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None
    kind: str
    number: str
    occurred_at: datetime
    role: str
    unit_id: str | None
    channel: str
    redacted_address: str
    unit_name: str | None
    subscription_stopped: bool


_LIST_LOG: Final = """
select
  d.id, d.state, d.attempts, d.reason, d.created_at, d.due_at, d.ended_at,
  n.kind, n.number, n.occurred_at, n.role, n.unit_id,
  s.channel, s.redacted_address, u.name as unit_name,
  s.stopped_at is not null as subscription_stopped
from deliveries d
join notifications n on n.id = d.notification_id
join subscriptions s on s.id = d.subscription_id
left join units u on u.id = s.unit_id
where ($1::text is null or n.role = $1) and ($2::text is null or d.state = $2)
  and ($3::text is null or s.channel = $3) and ($4::text is null or n.number = $4)
  and ($5::uuid is null or d.id < $5)
order by d.id desc limit $6
"""


async def list_log(
    tx: Transaction,
    wanted: DeliveryFilter,
    *,
    before: UUID | None,
    limit: int,
) -> list[DeliveryLogEntry]:
    """Return deliveries, newest first."""
    rows = await tx.fetch(
        _LIST_LOG,
        wanted.role,
        wanted.state,
        wanted.channel,
        wanted.number,
        before,
        limit,
    )
    return [DeliveryLogEntry(**row) for row in rows]
