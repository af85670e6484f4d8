"""Sends deliveries. The database schedules the attempts; sender workers claim what is due."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from services.notify.domain.delivery import retry_delay
from services.notify.domain.rules import RULES
from services.notify.settings import NotifyContext, context_of
from services.notify.store import deliveries
from services.notify.store.deliveries import ClaimedDelivery
from services.notify.transports import OutboundMessage, TransportError
from shared.appraisal.errors import Rejected
from shared.appraisal.events import NotificationDelivered, NotificationFailed
from shared.foundation import telemetry, tracing
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.security.keyring import VaultError
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

CLAIM_MAX: Final = 20
"""Deliveries that one sender worker claims at a time."""
LEASE_SECONDS: Final = 120.0
"""A worker that has not recorded its result by then counts as dead, and another one sends the
delivery with the same key. Longer than any attempt.
"""

AttemptResult = Literal["ok", "retry", "error"]


async def send_pending(database: Database, context: NotifyContext) -> bool:
    """Send deliveries that are due. Return True if more may wait.

    Claims them in one transaction, sends outside of any, and records each result in its own.
    """
    async with database.transaction(context) as tx:
        claimed = await deliveries.claim(tx, limit=CLAIM_MAX, lease_seconds=LEASE_SECONDS)
    failpoint("delivery.claimed")
    await _deliver_all(database, context, claimed)
    return len(claimed) == CLAIM_MAX


async def _deliver_all(
    database: Database,
    context: NotifyContext,
    claimed: Sequence[ClaimedDelivery],
) -> None:
    """Deliver concurrently; raise the first error once all have ended."""
    sending = [_deliver(database, context, delivery) for delivery in claimed]
    results = await asyncio.gather(*sending, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _deliver(
    database: Database,
    context: NotifyContext,
    delivery: ClaimedDelivery,
) -> None:
    with tracing.span(
        "deliver notification",
        parent=delivery.trace,
        kind=tracing.SpanKind.CLIENT,
        attributes={"fengping.channel": delivery.channel},
    ):
        await _send_and_record(database, context, delivery)


async def _send_and_record(
    database: Database,
    context: NotifyContext,
    delivery: ClaimedDelivery,
) -> None:
    error = await _attempt(context, delivery)
    # If the process dies here, the same key is sent again after the lease: at least once.
    failpoint("delivery.sent")
    async with database.transaction(context) as tx:
        result = await _record(tx, delivery, error)
        age = tx.now - delivery.occurred_at
    _measure(delivery.channel, result, age)


def _measure(
    channel: str,
    result: AttemptResult,
    age: timedelta,
) -> None:
    telemetry.notifications_sent.labels(channel, result).inc()
    if result == "ok":
        delay = telemetry.notification_delay_seconds.labels(channel)
        delay.observe(age.total_seconds())


async def _attempt(context: NotifyContext, delivery: ClaimedDelivery) -> TransportError | None:
    """Make one attempt; return its error, if any."""
    try:
        await _send(context, delivery)
    except TransportError as error:
        return error
    except VaultError:
        return TransportError("地址无法解密，请重新填写", permanent=True)
    except Exception as error:
        # Apprise plugins may raise anything. The attempt counts, so that retries are bounded.
        _log_unexpected(delivery, error)
        return TransportError("发送时出错")
    return None


async def _send(context: NotifyContext, delivery: ClaimedDelivery) -> None:
    fields = context.ring.unseal(delivery.subscription_id, delivery.sealed_address)
    message = _message(context, delivery)
    await context.transports.send(fields["address"], message)


def _log_unexpected(delivery: ClaimedDelivery, error: Exception) -> None:
    log.warning(
        "delivery failed",
        service="notify",
        channel=delivery.channel,
        **telemetry.describe(error),
    )


def _message(context: NotifyContext, delivery: ClaimedDelivery) -> OutboundMessage:
    return OutboundMessage(
        key=delivery.id,
        subscription_id=delivery.subscription_id,
        kind=delivery.kind,
        title=RULES[delivery.kind].title,
        number=delivery.number,
        text=delivery.text,
        link=context.public_url + delivery.link,
        due_at=delivery.due_at,
        occurred_at=delivery.occurred_at,
    )


async def _record(
    tx: Transaction,
    delivery: ClaimedDelivery,
    error: TransportError | None,
) -> AttemptResult:
    if error is None:
        await _record_delivered(tx, delivery)
        return "ok"
    delay = retry_delay(delivery.attempts, context_of(tx).retry_delays_seconds)
    if error.permanent or delay is None:
        await _record_failed(tx, delivery, error)
        return "error"
    await _schedule_retry(tx, delivery, error, delay)
    return "retry"


async def _schedule_retry(
    tx: Transaction,
    delivery: ClaimedDelivery,
    error: TransportError,
    delay: float,
) -> None:
    await deliveries.schedule_retry(
        tx,
        delivery.id,
        error.sentence,
        delay_seconds=delay,
        cooldown_seconds=context_of(tx).failure_cooldown_seconds,
    )


async def _record_delivered(tx: Transaction, delivery: ClaimedDelivery) -> None:
    if await deliveries.mark_delivered(tx, delivery.id):
        tx.publish(
            NotificationDelivered(
                occurred_at=tx.now,
                notification_id=delivery.notification_id,
                kind=delivery.kind,
                channel=delivery.channel,
                attempts=delivery.attempts,
            )
        )


async def _record_failed(
    tx: Transaction,
    delivery: ClaimedDelivery,
    error: TransportError,
) -> None:
    if await deliveries.mark_failed(tx, delivery.id, error.sentence):
        tx.publish(
            NotificationFailed(
                occurred_at=tx.now,
                notification_id=delivery.notification_id,
                kind=delivery.kind,
                channel=delivery.channel,
                attempts=delivery.attempts,
            )
        )


async def resend(
    tx: Transaction,
    *,
    delivery_id: UUID,
    by: Account,
) -> UUID:
    """Send a failed delivery again (重发), with the same key.

    Raises Rejected if it did not fail or its subscription is stopped.
    """
    if not await deliveries.requeue(tx, delivery_id):
        raise Rejected("只有发送失败、且订阅仍在使用的记录可以重发")
    tx.audit("delivery.resent", delivery_id, str(by.id))
    return delivery_id
