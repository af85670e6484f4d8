"""Spent codes and the ballots cast with them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from shared.storage.transaction import Transaction

_NOT_HELD: Final = """
not exists (select from integrity_events e where e.batch_id = b.id and e.decided_at is null)
"""


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
    """Return the groups with waiting ballots that are not held."""
    records = await tx.fetch(
        f"""
        select campaign_id, instrument, "group",
               bool_and(closes_on < $1) as closed
        from token_batches b
        group by campaign_id, instrument, "group"
        having bool_or(exists (select from waiting_ballots where batch_id = b.id) and {_NOT_HELD})
        order by 1, 2, 3
        """,
        today,
    )
    return [WaitingGroup(**record) for record in records]


async def lock_waiting(
    tx: Transaction,
    group: WaitingGroup,
    limit: int,
) -> list[WaitingBallot]:
    """Lock and return up to `limit` waiting ballots of a group, drawn and ordered at random.

    Ballots of a batch with an undecided integrity event are held.
    """
    records = await tx.fetch(
        f"""
        select w.id, w.campaign_id, w.batch_id, w.answers
        from waiting_ballots w join token_batches b on b.id = w.batch_id
        where b.campaign_id = $1 and b.instrument = $2 and b."group" = $3 and {_NOT_HELD}
        order by random() limit $4 for update of w skip locked
        """,
        group.campaign_id,
        group.instrument,
        group.group,
        limit,
    )
    return [WaitingBallot(**record) for record in records]


async def lock_waiting_of_batch(tx: Transaction, batch_id: UUID) -> list[WaitingBallot]:
    """Lock and return every waiting ballot of a batch, in random order."""
    records = await tx.fetch(
        """
        select id, campaign_id, batch_id, answers from waiting_ballots
        where batch_id = $1 order by random() for update
        """,
        batch_id,
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
