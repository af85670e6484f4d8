"""Spent codes and the ballots cast with them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from uuid import UUID

from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class WaitingBallot:
    """A ballot that waits for its release; see `shared.appraisal.ballots` for `answers`."""

    id: UUID
    campaign_id: str
    batch_id: UUID
    answers: bytes


@dataclass(frozen=True, slots=True)
class ReleasedRow:
    """A ballot as it is stored after its release."""

    campaign_id: str
    id: UUID
    batch_id: UUID
    answers: bytes
    released_hour: datetime


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """A group with waiting ballots. `closed`: none of its codes can be used any more."""

    campaign_id: str
    instrument: str
    group: str
    closed: bool


async def spend(
    tx: Transaction,
    campaign_id: str,
    spent_id: UUID,
    receipt: bytes,
) -> bool:
    """Spend a code; return False if it was spent.

    The id is derived from the code, so a concurrent second use conflicts on the primary key and
    waits for the first to commit.
    """
    inserted = await tx.fetchval(
        """
        insert into spent_codes (campaign_id, id, receipt) values ($1, $2, $3)
        on conflict (campaign_id, id) do nothing returning 1
        """,
        campaign_id,
        spent_id,
        receipt,
    )
    return inserted is not None


async def receipt(
    tx: Transaction,
    campaign_id: str,
    spent_id: UUID,
) -> bytes | None:
    """Return the receipt that identifies the first submission, or None if the code is not spent."""
    found: bytes | None = await tx.fetchval(
        "select receipt from spent_codes where campaign_id = $1 and id = $2",
        campaign_id,
        spent_id,
    )
    return found


async def add_waiting(tx: Transaction, ballots: Sequence[WaitingBallot]) -> None:
    """Store ballots until their release."""
    columns = ("id", "campaign_id", "batch_id", "answers")
    await tx.copy("waiting_ballots", columns, [astuple(ballot) for ballot in ballots])


async def waiting_groups(tx: Transaction, today: date) -> list[WaitingGroup]:
    """Return the groups with waiting ballots."""
    records = await tx.fetch(
        """
        select campaign_id, instrument, "group",
               bool_and(closes_on < $1) as closed
        from token_batches
        where id in (select batch_id from waiting_ballots)
        group by campaign_id, instrument, "group" order by 1, 2, 3
        """,
        today,
    )
    return [WaitingGroup(**record) for record in records]


async def lock_waiting(
    tx: Transaction,
    group: WaitingGroup,
    limit: int,
) -> list[WaitingBallot]:
    """Lock and return up to `limit` waiting ballots of a group, drawn and ordered at random."""
    records = await tx.fetch(
        """
        select w.id, w.campaign_id, w.batch_id, w.answers
        from waiting_ballots w join token_batches b on b.id = w.batch_id
        where b.campaign_id = $1 and b.instrument = $2 and b."group" = $3
        order by random() limit $4 for update of w skip locked
        """,
        group.campaign_id,
        group.instrument,
        group.group,
        limit,
    )
    return [WaitingBallot(**record) for record in records]


async def release(
    tx: Transaction,
    ballots: Sequence[ReleasedRow],
    waiting_ids: Sequence[UUID],
) -> None:
    """Store ballots in this order and delete the rows in which they waited."""
    columns = ("campaign_id", "id", "batch_id", "answers", "released_hour")
    await tx.copy("ballots", columns, [astuple(ballot) for ballot in ballots])
    await tx.run("delete from waiting_ballots where id = any($1::uuid[])", list(waiting_ids))


async def count_in_newest_campaign(tx: Transaction) -> int:
    counted: int = await tx.fetchval(
        """
        with newest as (
          select id from campaigns order by year desc, published_at desc, id limit 1
        )
        select (select count(*) from ballots where campaign_id = (select id from newest))
               + (select count(*) from waiting_ballots
                  where campaign_id = (select id from newest))
        """
    )
    return counted
