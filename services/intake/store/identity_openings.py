"""Openings of identities that the custodian approved."""

from datetime import datetime
from uuid import UUID

import msgspec

from services.intake.domain.identity_openings import LIMIT_PERIOD, OPENABLE_FOR, OpeningPurpose
from services.intake.store.rows import read_rows
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction


class PastOpening(msgspec.Struct, frozen=True):
    """An opening as the complainant may know it: nothing about who opened it."""

    opened_at: datetime
    purpose: OpeningPurpose


class OpeningCounts(msgspec.Struct, frozen=True):
    """Identities opened within the last LIMIT_PERIOD: by one account, and by all."""

    own: int
    total: int


async def is_held(tx: Transaction, complaint_id: UUID) -> bool:
    """Return whether the complainant's identity is in the vault and was not erased."""
    held: bool = await tx.fetchval(
        "select exists (select from vault "
        "where complaint_id = $1 and part = 'identity' and wrapped_key is not null)",
        complaint_id,
    )
    return held


async def add(
    tx: Transaction,
    approval_id: UUID,
    complaint_id: UUID,
    purpose: OpeningPurpose,
    *,
    granted_to: UUID,
) -> None:
    """Insert an opening that may be used once."""
    await tx.run(
        "insert into identity_openings (id, complaint_id, purpose, granted_to, granted_at) "
        "values ($1, $2, $3, $4, $5)",
        approval_id,
        complaint_id,
        purpose,
        granted_to,
        tx.now,
    )


async def find_usable(
    tx: Transaction,
    complaint_id: UUID,
    account_id: UUID,
) -> UUID | None:
    """Return the opening of this complaint that the account may use now, or None."""
    opening_id: UUID | None = await tx.fetchval(
        """
        select id from identity_openings
        where complaint_id = $1 and granted_to = $2 and opened_at is null and granted_at > $3
        order by granted_at limit 1
        """,
        complaint_id,
        account_id,
        tx.now - OPENABLE_FOR,
    )
    return opening_id


async def mark_opened(tx: Transaction, opening_id: UUID) -> bool:
    """Use an opening; return False if it was used before."""
    used = await tx.run(
        "update identity_openings set opened_at = $2 where id = $1 and opened_at is null",
        opening_id,
        tx.now,
    )
    return used == 1


async def lock_counts(tx: Transaction, account_id: UUID) -> OpeningCounts:
    """Count recent openings; others that are about to open an identity wait until this commits."""
    await tx.fetchval("select pg_advisory_xact_lock($1)", advisory_lock_key("identity-openings"))
    record = await tx.fetchrow(
        "select count(*) filter (where granted_to = $1) as own, count(*) as total "
        "from identity_openings where opened_at > $2",
        account_id,
        tx.now - LIMIT_PERIOD,
    )
    assert record is not None, "an aggregate returns one row"
    return OpeningCounts(record["own"], record["total"])


async def openings_of(tx: Transaction, complaint_id: UUID) -> list[PastOpening]:
    """Return when and for what the identity of a complaint was opened, oldest first."""
    records = await tx.fetch(
        "select opened_at, purpose from identity_openings "
        "where complaint_id = $1 and opened_at is not null order by opened_at, id",
        complaint_id,
    )
    return read_rows(PastOpening, records)
