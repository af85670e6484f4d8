"""Questionnaire codes and the ballots cast with them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from shared.storage.transaction import Transaction

LIST_MAX: Final = 500
_BATCH_COLUMNS: Final = 'id, campaign_id, instrument, "group", point, use, closes_on'


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A batch of codes for one group of respondents."""

    id: UUID
    campaign_id: str
    instrument: str
    group: str
    point: str | None
    use: str
    closes_on: date | None


@dataclass(frozen=True, slots=True)
class BatchUsage:
    """A line of the register of issuance: how many codes were issued and ballots cast."""

    id: UUID
    campaign_id: str
    instrument: str
    group: str
    point: str | None
    use: str
    issued: int
    issued_at: datetime
    closes_on: date | None
    flooded_at: datetime | None
    cast: int


@dataclass(frozen=True, slots=True)
class PackedBallot:
    """A ballot as it is stored; see `shared.appraisal.ballots` for `answers`."""

    campaign_id: str
    id: UUID
    batch_id: UUID
    answers: bytes
    receipt: bytes
    cast_hour: datetime


async def add_batch(
    tx: Transaction,
    batch: TokenBatch,
    hashes: Sequence[bytes],
    *,
    by: UUID,
) -> None:
    """Insert a batch and the hashes of its codes."""
    await tx.run(
        """
        with batch as (
          insert into token_batches (id, campaign_id, instrument, "group", point, use, closes_on,
                                     issued, issued_at, issued_by)
          values ($1, $2, $3, $4, $5, $6, $7, cardinality($8::bytea[]), $9, $10)
        )
        insert into tokens (hash, batch_id) select hash, $1 from unnest($8::bytea[]) as t (hash)
        """,
        *astuple(batch),
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
    await tx.run(
        """
        insert into token_batches as b (id, campaign_id, instrument, "group", point, use, closes_on,
                                        issued, issued_at, issued_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (id) do update set issued = b.issued + excluded.issued
        """,
        *astuple(batch),
        count,
        tx.now,
        by,
    )


async def batch_of(tx: Transaction, token_hash: bytes) -> TokenBatch | None:
    """Return the batch of a code, or None if there is no such code."""
    record = await tx.fetchrow(
        f"select {_BATCH_COLUMNS} from token_batches "
        "where id = (select batch_id from tokens where hash = $1)",
        token_hash,
    )
    return TokenBatch(**record) if record else None


async def cast(tx: Transaction, ballot: PackedBallot) -> bool:
    """Spend a code and store its ballot in one statement; return False if the code was spent.

    The ballot's id is derived from the code, so a concurrent second ballot conflicts on the primary
    key and waits for the first to commit.
    """
    inserted = await tx.fetchval(
        """
        insert into ballots (campaign_id, id, batch_id, answers, receipt, cast_hour)
        values ($1, $2, $3, $4, $5, $6) on conflict (campaign_id, id) do nothing returning 1
        """,
        *astuple(ballot),
    )
    return inserted is not None


async def receipt(
    tx: Transaction,
    campaign_id: str,
    ballot_id: UUID,
) -> bytes | None:
    """Return the receipt that identifies the first submission, or None if the code is not spent."""
    found: bytes | None = await tx.fetchval(
        "select receipt from ballots where campaign_id = $1 and id = $2",
        campaign_id,
        ballot_id,
    )
    return found


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
        select b.id, b.campaign_id, b.instrument, b."group", b.point, b.use, b.issued, b.issued_at,
               b.closes_on, b.flooded_at,
               (select count(*) from ballots
                where batch_id = b.id and campaign_id = b.campaign_id) as cast
        from token_batches b where $1::text is null or b.campaign_id = $1
        order by b.issued_at desc, b.id limit $2
        """,
        campaign_id,
        LIST_MAX,
    )
    return [BatchUsage(**record) for record in records]


async def add_many(tx: Transaction, ballots: Sequence[PackedBallot]) -> None:
    """Store the ballots of an import with one COPY."""
    columns = ("campaign_id", "id", "batch_id", "answers", "receipt", "cast_hour")
    await tx.copy("ballots", columns, [astuple(ballot) for ballot in ballots])


async def count_in_newest_campaign(tx: Transaction) -> int:
    counted: int = await tx.fetchval(
        """
        select count(*) from ballots where campaign_id = (
          select id from campaigns order by year desc, published_at desc, id limit 1
        )
        """
    )
    return counted
