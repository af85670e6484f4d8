"""Codes of questionnaires and the ballots cast with them."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

import asyncpg

from shared.storage.transaction import Transaction

LIST_MAX: Final = 500


async def add_batch(
    tx: Transaction,
    batch_id: UUID,
    *,
    campaign_id: str,
    instrument: str,
    group: str,
    point: str | None,
    use: str,
    hashes: list[bytes],
    closes_on: date | None,
    by: UUID,
) -> None:
    """Write a batch and the hashes of its codes."""
    await tx.run(
        """
        with batch as (
          insert into token_batches (id, campaign_id, instrument, "group", point, use, issued, issued_at, issued_by, closes_on)
          values ($1, $2, $3, $4, $5, $6, cardinality($7::bytea[]), $8, $9, $10)
        )
        insert into tokens (hash, batch_id) select hash, $1 from unnest($7::bytea[]) as t (hash)
        """,
        batch_id,
        campaign_id,
        instrument,
        group,
        point,
        use,
        hashes,
        tx.now,
        by,
        closes_on,
    )


async def extend_batch(
    tx: Transaction,
    batch_id: UUID,
    *,
    campaign_id: str,
    sheet: tuple[str, str, str | None],
    count: int,
    by: UUID,
) -> None:
    """Enter so many imported sheets (instrument, group, point) into the register of issuance."""
    await tx.run(
        """
        insert into token_batches as b (id, campaign_id, instrument, "group", point, use, issued, issued_at, issued_by)
        values ($1, $2, $3, $4, $5, 'one_use', $6, $7, $8) on conflict (id) do update set issued = b.issued + excluded.issued
        """,
        batch_id,
        campaign_id,
        *sheet,
        count,
        tx.now,
        by,
    )


async def batch_of(tx: Transaction, hash: bytes) -> asyncpg.Record | None:
    """The batch to which a code belongs, or None when there is no such code."""
    return await tx.fetchrow(
        "select b.* from tokens t join token_batches b on b.id = t.batch_id where t.hash = $1", hash
    )


async def cast(
    tx: Transaction,
    *,
    campaign_id: str,
    ballot_id: UUID,
    batch_id: UUID,
    answers: bytes,
    receipt: bytes,
    hour: datetime,
) -> bool:
    """Spend a code and store its ballot in one statement; False when it was spent before.

    The ballot's id follows from the code: whoever comes second meets the first on the primary key,
    and waits for it to commit.
    """
    stored = await tx.fetchval(
        """
        insert into ballots (campaign_id, id, batch_id, answers, receipt, cast_hour) values ($1, $2, $3, $4, $5, $6)
        on conflict (campaign_id, id) do nothing returning 1
        """,
        campaign_id,
        ballot_id,
        batch_id,
        answers,
        receipt,
        hour,
    )
    return stored is not None


async def receipt(tx: Transaction, campaign_id: str, ballot_id: UUID) -> bytes | None:
    """By which a repetition of the first sending is recognised; None when the code is not spent."""
    found: bytes | None = await tx.fetchval(
        "select receipt from ballots where campaign_id = $1 and id = $2", campaign_id, ballot_id
    )
    return found


async def note_flood(tx: Transaction, batch_id: UUID) -> bool:
    """Mark a place whose code comes too fast; True the first time."""
    return (
        await tx.run(
            "update token_batches set flooded_at = $2 where id = $1 and flooded_at is null",
            batch_id,
            tx.now,
        )
        > 0
    )


async def batches(tx: Transaction, campaign_id: str | None) -> list[asyncpg.Record]:
    """Batches with how many codes were issued and how many ballots came: the register of issuance."""
    return await tx.fetch(
        """
        select b.id, b.campaign_id, b.instrument, b."group", b.point, b.use, b.issued, b.issued_at, b.closes_on, b.flooded_at,
               (select count(*) from ballots where batch_id = b.id and campaign_id = b.campaign_id) as cast
        from token_batches b where $1::text is null or b.campaign_id = $1 order by b.issued_at desc, b.id limit $2
        """,
        campaign_id,
        LIST_MAX,
    )


async def add_many(
    tx: Transaction, rows: list[tuple[str, UUID, UUID, bytes, bytes, datetime]]
) -> None:
    """Store many ballots of an import: (campaign, id, batch, answers, receipt, hour)."""
    await tx.copy(
        "ballots", ("campaign_id", "id", "batch_id", "answers", "receipt", "cast_hour"), rows
    )


async def total(tx: Transaction) -> int:
    """Ballots of the newest campaign."""
    counted: int = await tx.fetchval(
        "select count(*) from ballots where campaign_id = (select id from campaigns order by year desc, published_at desc, id limit 1)"
    )
    return counted
