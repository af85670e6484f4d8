"""Batches of questionnaire codes: the register of issuance."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from services.intake.domain.token_batches import TokenUse
from services.intake.store.rows import read_optional, read_rows
from shared.storage.transaction import Transaction

LIST_MAX: Final = 500
_INSERT_BATCH: Final = """
insert into token_batches as b (id, campaign_id, instrument, "group", unit_id, use, closes_on,
                                issued, issued_at, issued_by, expected, released, examined)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0)
"""
_EXTEND_BATCH: Final = f"""
{_INSERT_BATCH}
on conflict (id) do update set issued = b.issued + excluded.issued
"""
_BATCH_COLUMNS: Final = 'id, campaign_id, instrument, "group", unit_id, use, closes_on'


class TokenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of codes for one group of respondents."""

    id: UUID
    campaign_id: str
    instrument: str
    group: str
    unit_id: str | None
    use: TokenUse
    closes_on: date


class RequestedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch to open. `opened_at` None: its codes do not exist yet."""

    id: UUID
    use: TokenUse
    issued: int
    issued_by: UUID
    opened_at: datetime | None


class BatchUsage(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the register of issuance: how many codes were issued and ballots cast."""

    id: UUID
    campaign_id: str
    instrument: str
    group: str
    unit_id: str | None
    use: TokenUse
    issued: int
    issued_at: datetime
    closes_on: date
    flooded_at: datetime | None
    issued_by: UUID
    opened_at: datetime | None
    expected: int | None
    cast: int
    held: bool


async def add_batch(
    tx: Transaction,
    batch: TokenBatch,
    count: int,
    *,
    by: UUID,
    expected: int | None = None,
) -> None:
    """Enter a batch of `count` codes into the register. The codes are created when it is opened.

    `expected`: the ballots that may be cast with them, as many as codes if None.
    """
    ballots = count if expected is None else expected
    await tx.run(_INSERT_BATCH, *astuple(batch), count, tx.now, by, ballots)


async def lock(tx: Transaction, batch_id: UUID) -> RequestedBatch | None:
    """Lock the batch and return it, or None."""
    record = await tx.fetchrow(
        "select id, use, issued, issued_by, opened_at from token_batches "
        "where id = $1 and use <> 'paper' for update",
        batch_id,
    )
    return read_optional(RequestedBatch, record)


async def add_codes(
    tx: Transaction,
    batch_id: UUID,
    hashes: Sequence[bytes],
    *,
    by: UUID,
) -> None:
    """Insert the hashes of a batch's codes and mark it as opened."""
    await tx.run(
        """
        with opened as (
          update token_batches set opened_at = $3, opened_by = $4 where id = $1
        )
        insert into tokens (hash, batch_id) select hash, $1 from unnest($2::bytea[]) as t (hash)
        """,
        batch_id,
        list(hashes),
        tx.now,
        by,
    )


async def extend_batch(
    tx: Transaction,
    batch: TokenBatch,
    count: int,
    *,
    by: UUID,
) -> None:
    """Add `count` imported ballots to the register of issuance."""
    await tx.run(_EXTEND_BATCH, *astuple(batch), count, tx.now, by, None)


async def count_released(
    tx: Transaction,
    released: Mapping[UUID, int],
) -> None:
    """Add to the number of released ballots of each batch, in one order."""
    batches = sorted(released)
    await tx.run(
        """
        update token_batches b set released = b.released + n.count
        from unnest($1::uuid[], $2::int[]) as n (id, count) where b.id = n.id
        """,
        batches,
        [released[batch] for batch in batches],
    )


async def close(tx: Transaction, batch_id: UUID, *, before: date) -> None:
    """Let the codes of a batch be used no more: its last day is the one before `before`."""
    await tx.run(
        "update token_batches set closes_on = least(closes_on, $2::date - 1) where id = $1",
        batch_id,
        before,
    )


async def batch_of(tx: Transaction, token_hash: bytes) -> TokenBatch | None:
    """Return the batch of a code, or None if there is no such code."""
    record = await tx.fetchrow(
        f"select {_BATCH_COLUMNS} from token_batches "
        "where id = (select batch_id from tokens where hash = $1)",
        token_hash,
    )
    return read_optional(TokenBatch, record)


async def mark_flooded(tx: Transaction, batch_id: UUID) -> bool:
    """Mark a batch whose code is used too fast; return True the first time."""
    marked = await tx.run(
        "update token_batches set flooded_at = $2 where id = $1 and flooded_at is null",
        batch_id,
        tx.now,
    )
    return marked > 0


async def list_batches(tx: Transaction, campaign_id: str | None) -> list[BatchUsage]:
    """Return the register of issuance, newest first."""
    records = await tx.fetch(
        """
        select b.id, b.campaign_id, b.instrument, b."group", b.unit_id, b.use, b.issued,
               b.issued_at, b.closes_on, b.flooded_at, b.issued_by, b.opened_at, b.expected,
               b.released + (select count(*) from waiting_ballots where batch_id = b.id) as cast,
               exists (
                 select from integrity_events where batch_id = b.id and decided_at is null
               ) as held
        from token_batches b where $1::text is null or b.campaign_id = $1
        order by b.issued_at desc, b.id limit $2
        """,
        campaign_id,
        LIST_MAX,
    )
    return read_rows(BatchUsage, records)
