"""Reading notifications."""

from collections.abc import Collection
from uuid import UUID

from services.notify.store import inbox
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def mark_read(
    tx: Transaction,
    *,
    by: Account,
    done: bool,
    ids: Collection[UUID] | None = None,
    subject_ids: Collection[str] | None = None,
) -> int:
    """Mark notifications of this account as seen or done: by id, by subject, or all.

    Returns how many changed.
    """
    return await inbox.mark_read(tx, by, done=done, ids=ids, subject_ids=subject_ids)


async def open_notification(
    tx: Transaction,
    *,
    notification_id: UUID,
    by: Account,
) -> str | None:
    """Mark a notification as seen and return its link; None if this account may not read it."""
    link = await inbox.find_link(tx, by, notification_id)
    if link is not None:
        await mark_read(tx, by=by, done=False, ids=[notification_id])
    return link
