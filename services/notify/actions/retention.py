"""Deletes old notifications."""

from typing import Final

from services.notify.settings import context_of
from services.notify.store import notifications
from shared.storage.transaction import Transaction

DELETE_MAX: Final = 1000
"""Notifications per pass."""


async def delete_expired(tx: Transaction) -> bool:
    """Delete notifications past their retention. Return True if more may remain."""
    days = context_of(tx).retention_days
    deleted = await notifications.delete_expired(tx, retention_days=days, limit=DELETE_MAX)
    return deleted == DELETE_MAX
