"""Ballots and the tallies of their answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.appraisal.ballots import Answer
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction

_INSERT_BALLOTS = """
with inserted as (
  insert into ballots (campaign_id, ballot_id, response_group_id, answers, released_hour)
  select $1, b.* from
    unnest($2::uuid[], $3::int[], $4::bytea[], $5::timestamptz[]) as b
  on conflict do nothing returning ballot_id
)
select case when count(*) = cardinality($2::uuid[]) then null
  else coalesce(array_agg(ballot_id), '{}') end
from inserted
"""
_ADD_ANSWER_COUNTS = """
insert into tallies as t (response_group_id, unit_no, item_no, option_no, shard, answer_count)
select n.response_group_id, n.unit_no, n.item_no, n.option_no, $6, n.answer_count
from unnest($1::int[], $2::int[], $3::smallint[], $4::smallint[], $5::bigint[])
  as n (response_group_id, unit_no, item_no, option_no, answer_count)
order by 1, 2, 3, 4
on conflict (response_group_id, unit_no, item_no, option_no, shard)
do update set answer_count = t.answer_count + excluded.answer_count
"""
_ANSWER_COUNTS = """
select response_group_id, unit_no, item_no, option_no, sum(answer_count)::bigint as answer_count
from tallies
where response_group_id = any($1) and ($2::int[] is null or unit_no = any($2))
group by 1, 2, 3, 4
"""


class NewBallot(NamedTuple):
    """A ballot to store. `answers`: packed (`shared.appraisal.ballots.pack`)."""

    ballot_id: UUID
    response_group_id: int
    answers: bytes
    released_hour: datetime


@dataclass(frozen=True, slots=True)
class BallotAnswers:
    """A stored ballot. `answers`: packed."""

    response_group_id: int
    answers: bytes


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """How often a group chose an option of an item about a unit."""

    response_group_id: int
    unit_no: int
    item_no: int
    option_no: int
    answer_count: int


async def insert_ballots(
    tx: Transaction,
    campaign_id: str,
    rows: Sequence[NewBallot],
) -> Collection[UUID] | None:
    """Insert ballots that are not stored yet.

    Returns None when all were new, otherwise the ids of those that were.
    """
    columns = map(list, zip(*rows, strict=True))
    inserted = await tx.fetchval(_INSERT_BALLOTS, campaign_id, *columns)
    return None if inserted is None else {UUID(str(ballot_id)) for ballot_id in inserted}


async def lock_counting(
    tx: Transaction,
    campaign_ids: Collection[str],
    *,
    voiding: bool,
) -> None:
    """Let ballots of these campaigns be counted, or voided, until the end of the transaction.

    Counting waits for voiding and the other way round: of a ballot and its reversal the later one
    sees the earlier.
    """
    function = "pg_advisory_xact_lock" if voiding else "pg_advisory_xact_lock_shared"
    for campaign_id in sorted(campaign_ids):
        await tx.run(f"select {function}($1)", advisory_lock_key("ballots", campaign_id))


async def voided_among(
    tx: Transaction,
    campaign_id: str,
    ballot_ids: Collection[UUID],
) -> set[UUID]:
    """Return those of the ballots that are void."""
    rows = await tx.fetch(
        "select ballot_id from voided_ballots "
        "where campaign_id = $1 and ballot_id = any($2::uuid[])",
        campaign_id,
        list(ballot_ids),
    )
    return {row["ballot_id"] for row in rows}


async def void_ballots(
    tx: Transaction,
    campaign_id: str,
    integrity_event_id: UUID,
    ballot_ids: Collection[UUID],
) -> list[BallotAnswers]:
    """Store the reversals; return the ballots among them that were counted before."""
    rows = await tx.fetch(
        """
        with new as (
          insert into voided_ballots (campaign_id, ballot_id, integrity_event_id)
          select $1, ballot_id, $2 from unnest($3::uuid[]) as t (ballot_id)
          on conflict do nothing returning ballot_id
        )
        select b.response_group_id, b.answers from ballots b join new using (ballot_id)
        where b.campaign_id = $1
        """,
        campaign_id,
        integrity_event_id,
        list(ballot_ids),
    )
    return [BallotAnswers(**row) for row in rows]


async def add_answer_counts(
    tx: Transaction,
    counts: Mapping[tuple[int, Answer], int],
    *,
    shard: int,
) -> None:
    """Add counts by (response_group_id, answer) to the tallies of a shard.

    One statement in one order, so concurrent transactions do not deadlock.
    """
    if not counts:
        return
    response_group_ids = [response_group_id for response_group_id, _ in counts]
    units, items, options = zip(*(answer for _, answer in counts), strict=True)
    await tx.run(
        _ADD_ANSWER_COUNTS,
        response_group_ids,
        units,
        items,
        options,
        list(counts.values()),
        shard,
    )


async def answer_counts(
    tx: Transaction,
    response_group_ids: Collection[int],
    unit_nos: Collection[int] | None = None,
) -> list[AnswerCount]:
    """Return the sums over all shards, of these units or of all."""
    units = None if unit_nos is None else list(unit_nos)
    rows = await tx.fetch(_ANSWER_COUNTS, list(response_group_ids), units)
    return [AnswerCount(**row) for row in rows]
