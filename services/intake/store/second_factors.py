"""One-time code secrets and recovery codes of accounts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.security.keyring import SealedRecord
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class StoredFactor:
    """The sealed secret of an account. It counts once `confirmed_at` is set."""

    sealed: SealedRecord = field(repr=False)
    confirmed_at: datetime | None
    last_step: int


async def find(tx: Transaction, account_id: UUID) -> StoredFactor | None:
    record = await tx.fetchrow(
        "select ciphertext, wrapped_key, key_version, confirmed_at, last_step "
        "from second_factors where account_id = $1",
        account_id,
    )
    if record is None:
        return None
    sealed = SealedRecord(record["ciphertext"], record["wrapped_key"], record["key_version"])
    return StoredFactor(sealed, record["confirmed_at"], record["last_step"])


async def is_enrolled(tx: Transaction, account_id: UUID) -> bool:
    """Return whether the account has a confirmed secret."""
    found: bool = await tx.fetchval(
        "select exists (select 1 from second_factors "
        "where account_id = $1 and confirmed_at is not null)",
        account_id,
    )
    return found


async def enrolled_at(tx: Transaction, account_id: UUID) -> datetime | None:
    """Return since when the account has a confirmed secret, or None."""
    since: datetime | None = await tx.fetchval(
        "select confirmed_at from second_factors where account_id = $1", account_id
    )
    return since


async def add(tx: Transaction, account_id: UUID, sealed: SealedRecord) -> None:
    """Insert an unconfirmed secret; one that a concurrent request inserted stays."""
    await tx.run(
        """
        insert into second_factors
          (account_id, ciphertext, wrapped_key, key_version, created_at, last_step)
        values ($1, $2, $3, $4, $5, 0) on conflict (account_id) do nothing
        """,
        account_id,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
        tx.now,
    )


async def spend_step(tx: Transaction, account_id: UUID, step: int) -> bool:
    """Accept the code of a time step; return False if it, or a later one, was accepted before."""
    spent = await tx.run(
        "update second_factors set last_step = $2 where account_id = $1 and last_step < $2",
        account_id,
        step,
    )
    return spent == 1


async def confirm(tx: Transaction, account_id: UUID) -> bool:
    """Make the secret count; return False if it did already."""
    confirmed = await tx.run(
        "update second_factors set confirmed_at = $2 "
        "where account_id = $1 and confirmed_at is null",
        account_id,
        tx.now,
    )
    return confirmed == 1


async def replace_recovery_codes(
    tx: Transaction,
    account_id: UUID,
    digests: Sequence[bytes],
) -> None:
    await tx.run("delete from recovery_codes where account_id = $1", account_id)
    await tx.run(
        "insert into recovery_codes (account_id, digest) "
        "select $1, digest from unnest($2::bytea[]) as d (digest)",
        account_id,
        digests,
    )


async def spend_recovery_code(tx: Transaction, account_id: UUID, digest: bytes) -> bool:
    """Use up a code; return False if it is unknown or was used before."""
    spent = await tx.run(
        "update recovery_codes set used_at = $3 "
        "where account_id = $1 and digest = $2 and used_at is null",
        account_id,
        digest,
        tx.now,
    )
    return spent == 1


async def count_recovery_codes(tx: Transaction, account_id: UUID) -> int:
    """Return how many codes are left."""
    left: int = await tx.fetchval(
        "select count(*) from recovery_codes where account_id = $1 and used_at is null",
        account_id,
    )
    return left


async def delete(tx: Transaction, account_id: UUID) -> bool:
    """Delete secret and recovery codes; return False if there was no secret."""
    await tx.run("delete from recovery_codes where account_id = $1", account_id)
    return await tx.run("delete from second_factors where account_id = $1", account_id) == 1
