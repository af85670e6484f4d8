"""Encrypted drafts of hotline tickets."""

from datetime import datetime
from typing import Final
from uuid import UUID

from services.intake.store.rows import SealedRow, read_rows
from shared.security.keyring import SealedRecord
from shared.storage.transaction import Transaction

LIST_MAX: Final = 200


class SealedDraft(SealedRow, frozen=True, kw_only=True):
    """A draft of a hotline ticket, encrypted."""

    id: UUID
    saved_at: datetime


async def save(
    tx: Transaction,
    draft_id: UUID,
    account_id: UUID,
    sealed: SealedRecord,
) -> bool:
    """Insert or replace a draft.

    Returns False if the draft belongs to another account or was registered: then a complaint has
    its id.
    """
    saved = await tx.fetchval(
        """
        insert into hotline_drafts as d
          (id, account_id, started_at, saved_at, ciphertext, wrapped_key, key_version)
        select $1, $2, $3::timestamptz, $3, $4, $5, $6
        where not exists (select from complaints where id = $1)
        on conflict (id) do update set saved_at = excluded.saved_at,
          ciphertext = excluded.ciphertext, wrapped_key = excluded.wrapped_key,
          key_version = excluded.key_version
        where d.account_id = excluded.account_id returning 1
        """,
        draft_id,
        account_id,
        tx.now,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )
    return saved is not None


async def list_for(tx: Transaction, account_id: UUID) -> list[SealedDraft]:
    """Return the drafts of an account, oldest first."""
    records = await tx.fetch(
        "select id, saved_at, ciphertext, wrapped_key, key_version from hotline_drafts "
        "where account_id = $1 order by started_at, id limit $2",
        account_id,
        LIST_MAX,
    )
    return read_rows(SealedDraft, records)


async def count_for(tx: Transaction, account_id: UUID) -> int:
    """Return how many drafts an account has."""
    count: int = await tx.fetchval(
        "select count(*) from hotline_drafts where account_id = $1", account_id
    )
    return count


async def delete(
    tx: Transaction,
    draft_id: UUID,
    account_id: UUID,
) -> None:
    """Delete a draft of this account."""
    await tx.run(
        "delete from hotline_drafts where id = $1 and account_id = $2", draft_id, account_id
    )


async def delete_abandoned(
    tx: Transaction,
    *,
    before: datetime,
    batch: int,
) -> int:
    """Delete drafts not saved since then; return how many."""
    return await tx.run(
        "delete from hotline_drafts where id in "
        "(select id from hotline_drafts where saved_at < $1 limit $2)",
        before,
        batch,
    )
