"""Save and delete drafts of hotline tickets."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.intake.settings import context_of
from services.intake.store import hotline_drafts as store
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction

KEPT: Final = timedelta(days=7)


async def save_draft(
    tx: Transaction,
    draft_id: UUID,
    fields: dict[str, str],
    *,
    by: Account,
) -> datetime:
    """Save the fields of a hotline ticket and return when.

    Raises Rejected (404) if the draft belongs to another account or was registered.
    """
    sealed = context_of(tx).ring.seal(f"draft/{draft_id}", fields)
    if not await store.save(tx, draft_id, by.id, sealed):
        raise Rejected("没有这份草稿，或它已经登记", status=404)
    return tx.now


async def delete_draft(
    tx: Transaction,
    draft_id: UUID,
    *,
    by: Account,
) -> None:
    """Delete a draft. Deleting it twice changes nothing."""
    await store.delete(tx, draft_id, by.id)
