"""Subscriptions."""

from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from services.notify.tables import Subscription
from shared.storage.transaction import Transaction


async def lock(tx: Transaction, subscription_id: UUID) -> Subscription | None:
    """Return one subscription, locked; None if it does not exist."""
    query = select(Subscription).where(col(Subscription.id) == subscription_id)
    return await tx.scalar(query.with_for_update())


async def list_active(tx: Transaction) -> list[Subscription]:
    """Return the subscriptions that are not stopped, by audience."""
    query = select(Subscription).where(col(Subscription.stopped_at).is_(None))
    return await tx.scalars(
        query.order_by(
            col(Subscription.role),
            col(Subscription.unit_id),
            col(Subscription.created_at),
        )
    )
