"""Subscriptions: the addresses that receive an audience's notifications."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.notify.domain.audience import UNIT_ROLES, Audience
from services.notify.domain.channels import channel_of
from services.notify.settings import context_of
from services.notify.store import deliveries, reference, subscriptions
from services.notify.tables import Subscription
from services.notify.transports import TransportError, Transports, redact_address
from shared.appraisal.errors import Rejected
from shared.security.keyring import KeyRing
from shared.security.policies import Account
from shared.storage.transaction import Transaction

CHECK_TIMEOUT_SECONDS: Final = 5.0


async def check_subscription(
    tx: Transaction,
    *,
    role: Audience,
    unit_id: str | None,
    address: str | None,
) -> None:
    """Raise Rejected, with the field, if this audience cannot be notified at this address."""
    await _check_unit(tx, role, unit_id)
    if address is not None:
        await _check_address(context_of(tx).transports, address)


async def _check_unit(
    tx: Transaction,
    role: Audience,
    unit_id: str | None,
) -> None:
    if role in UNIT_ROLES and not unit_id:
        raise _invalid("unit_id", "承办人和单位负责人的订阅须指定单位")
    if role not in UNIT_ROLES and unit_id:
        raise _invalid("unit_id", "这个角色接收全部单位的通知，不能指定单位")
    if unit_id and not await reference.unit_exists(tx, unit_id):
        raise _invalid("unit_id", "没有这个单位，请从列出的单位中选择")


async def _check_address(transports: Transports, address: str) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await transports.check(address)
    except TransportError as error:
        raise _invalid("address", error.sentence) from error
    except TimeoutError as error:
        raise _invalid("address", "域名解析超时，请稍后再试") from error


def _invalid(field: str, sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field=field)


async def subscribe(
    tx: Transaction,
    *,
    subscription_id: UUID,
    role: Audience,
    unit_id: str | None,
    kinds: Sequence[str],
    address: str | None,
    by: Account,
) -> Subscription:
    """Create a subscription, or change the one with this id. `address` None keeps the address.

    Raises Rejected as `check_subscription` does, and if the subscription is stopped.
    """
    existing = await subscriptions.lock(tx, subscription_id)
    _check_changeable(existing, address)
    await check_subscription(tx, role=role, unit_id=unit_id, address=address)
    row = existing or _new_subscription(tx, subscription_id)
    row.role = role
    row.unit_id = unit_id
    row.kinds = list(kinds)
    if address is not None:
        _set_address(context_of(tx).ring, row, address)
    tx.add(row)
    tx.audit("subscription.set", row.id, str(by.id), role=role, unit=unit_id, channel=row.channel)
    return row


def _check_changeable(existing: Subscription | None, address: str | None) -> None:
    if existing and existing.stopped_at:
        raise Rejected("这项订阅已停用，请新建")
    if existing is None and address is None:
        raise _invalid("address", "请填写接收地址")


def _new_subscription(tx: Transaction, subscription_id: UUID) -> Subscription:
    return Subscription(
        id=subscription_id,
        role="",
        channel="",
        redacted_address="",
        kinds=[],
        ciphertext=b"",
        key_version=0,
        created_at=tx.now,
    )


def _set_address(
    ring: KeyRing,
    row: Subscription,
    address: str,
) -> None:
    sealed = ring.seal(row.id, {"address": address})
    row.channel = channel_of(address)
    row.redacted_address = redact_address(address)
    row.ciphertext = sealed.ciphertext
    row.wrapped_key = sealed.wrapped_key
    row.key_version = sealed.key_version
    row.failing_since = None
    row.paused_until = None


async def stop_subscription(
    tx: Transaction,
    *,
    subscription_id: UUID,
    by: Account,
) -> UUID:
    """Withdraw its waiting deliveries and destroy the key of its address; idempotent.

    Raises Rejected if it does not exist.
    """
    row = await subscriptions.lock(tx, subscription_id)
    if row is None:
        raise Rejected("没有这项订阅", status=404)
    if row.stopped_at is None:
        await _stop(tx, row, by)
    return subscription_id


async def _stop(
    tx: Transaction,
    row: Subscription,
    by: Account,
) -> None:
    row.stopped_at = tx.now
    row.wrapped_key = None
    await deliveries.withdraw_for_subscription(tx, row.id)
    tx.audit("subscription.stopped", row.id, str(by.id))
