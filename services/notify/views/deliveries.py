"""The delivery log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.notify.domain.audience import Audience
from services.notify.domain.channels import Channel
from services.notify.domain.delivery import DeliveryFilter, DeliveryState
from services.notify.domain.rules import RULES
from services.notify.store import deliveries, subscriptions
from services.notify.store.deliveries import DeliveryLogEntry
from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction

ROWS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as the log shows it.

    `note` explains the state. `quiet_until` is set while quiet hours delay the first attempt.
    """

    id: UUID
    created_at: datetime
    channel_label: str
    title: str
    number: str
    audience_label: str
    redacted_address: str
    state: DeliveryState
    note: str
    quiet_until: datetime | None
    may_be_resent: bool


@dataclass(frozen=True, slots=True)
class FailingSubscription:
    """A subscription whose last attempt failed."""

    channel_label: str
    redacted_address: str
    failing_since: datetime


@dataclass(frozen=True, slots=True)
class DeliveryLogPage:
    """One page of the log. `next_cursor` continues it; None on the last page."""

    rows: Sequence[DeliveryRow]
    failing: Sequence[FailingSubscription]
    next_cursor: UUID | None


def visible_role(user: Account) -> str | None:
    """Return the audience whose deliveries the account sees; None for all (administrators)."""
    return None if user.role is Role.ADMIN else user.role


async def list_deliveries(
    tx: Transaction,
    wanted: DeliveryFilter,
    *,
    user: Account,
    before: UUID | None,
    limit: int,
) -> list[DeliveryLogEntry]:
    """Return the deliveries that this account may see, newest first."""
    visible = replace(wanted, role=visible_role(user))
    return await deliveries.list_log(tx, visible, before=before, limit=limit)


async def delivery_log_page(
    tx: Transaction,
    wanted: DeliveryFilter,
    *,
    user: Account,
    before: UUID | None,
) -> DeliveryLogPage:
    """Return one page of the deliveries that this account may see."""
    limit = ROWS_PER_PAGE + 1
    entries = await list_deliveries(tx, wanted, user=user, before=before, limit=limit)
    shown = entries[:ROWS_PER_PAGE]
    return DeliveryLogPage(
        rows=[_delivery_row(entry, now=tx.now) for entry in shown],
        failing=await _failing_subscriptions(tx, visible_role(user)),
        next_cursor=shown[-1].id if len(entries) > ROWS_PER_PAGE else None,
    )


async def _failing_subscriptions(tx: Transaction, role: str | None) -> list[FailingSubscription]:
    active = await subscriptions.list_active(tx)
    visible = [row for row in active if role in (None, row.role)]
    return [
        FailingSubscription(Channel(row.channel).label, row.redacted_address, row.failing_since)
        for row in visible
        if row.failing_since
    ]


def _delivery_row(entry: DeliveryLogEntry, *, now: datetime) -> DeliveryRow:
    state = DeliveryState(entry.state)
    return DeliveryRow(
        id=entry.id,
        created_at=entry.created_at,
        channel_label=Channel(entry.channel).label,
        title=RULES[entry.kind].title,
        number=entry.number,
        audience_label=_audience_label(entry),
        redacted_address=entry.redacted_address,
        state=state,
        note=_note(entry, state),
        quiet_until=_quiet_until(entry, state, now),
        may_be_resent=state is DeliveryState.FAILED and not entry.subscription_stopped,
    )


def _audience_label(entry: DeliveryLogEntry) -> str:
    unit = f"（{entry.unit_name}）" if entry.unit_name else ""
    return Audience(entry.role).label + unit


def _quiet_until(
    entry: DeliveryLogEntry,
    state: DeliveryState,
    now: datetime,
) -> datetime | None:
    untried = state is DeliveryState.WAITING and not entry.reason
    return entry.due_at if untried and entry.due_at > now else None


def _note(entry: DeliveryLogEntry, state: DeliveryState) -> str:
    if state is DeliveryState.DELIVERED and entry.ended_at:
        return _duration_label((entry.ended_at - entry.occurred_at).total_seconds())
    if state is DeliveryState.FAILED:
        return f"{entry.reason}（共 {entry.attempts} 次）"
    if state is DeliveryState.WAITING and entry.reason:
        return f"{entry.reason}，将重试（已 {entry.attempts} 次）"
    return ""


def _duration_label(seconds: float) -> str:
    if seconds < 120:
        return f"{int(seconds)} 秒"
    if seconds < 7200:
        return f"{int(seconds / 60)} 分钟"
    return f"{int(seconds / 3600)} 小时"
