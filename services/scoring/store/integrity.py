"""疑似异常 of intake: what is held, what was decided, and how many ballots are void."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.scoring.store.ballots import BallotAnswers
from shared.appraisal.events import BallotsHeld, BallotsHoldEnded
from shared.storage.transaction import Transaction

LIST_MAX: Final = 500
_RECORD_HOLD: Final = """
insert into integrity_events as e
  (id, campaign_id, instrument, group_key, kind, ballots, held_at, reason)
values ($1, $2, $3, $4, $5, $6, $7, '')
on conflict (id) do update set instrument = excluded.instrument, group_key = excluded.group_key,
  kind = excluded.kind, ballots = excluded.ballots, held_at = excluded.held_at
"""
_RECORD_END: Final = """
insert into integrity_events as e (id, campaign_id, instrument, group_key, kind, ballots, verdict,
  reason, proposed_by, decided_by, ended_at)
values ($1, $2, '', '', '', 0, $3, $4, $5, $6, $7)
on conflict (id) do update set verdict = excluded.verdict, reason = excluded.reason,
  proposed_by = excluded.proposed_by, decided_by = excluded.decided_by,
  ended_at = excluded.ended_at
"""


@dataclass(frozen=True, slots=True)
class IntegrityRow:
    """An integrity event as intake published it. `voided`: ballots that it made void."""

    id: UUID
    instrument: str
    group_key: str
    kind: str
    ballots: int
    held_at: datetime | None
    verdict: str | None
    reason: str
    proposed_by: UUID | None
    decided_by: UUID | None
    ended_at: datetime | None
    voided: int


async def record_hold(tx: Transaction, event: BallotsHeld) -> None:
    """Store that ballots are held."""
    await tx.run(
        _RECORD_HOLD,
        event.integrity_event_id,
        event.campaign_id,
        event.instrument,
        event.group,
        event.kind,
        event.ballots,
        event.occurred_at,
    )


async def record_end(tx: Transaction, event: BallotsHoldEnded) -> None:
    """Store what was decided."""
    await tx.run(
        _RECORD_END,
        event.integrity_event_id,
        event.campaign_id,
        event.verdict,
        event.reason,
        event.proposed_by,
        event.decided_by,
        event.occurred_at,
    )


async def count_undecided(tx: Transaction, campaign_id: str) -> int:
    """Return how many events of the campaign wait for a decision."""
    counted: int = await tx.fetchval(
        "select count(*) from integrity_events where campaign_id = $1 and ended_at is null",
        campaign_id,
    )
    return counted


async def list_events(tx: Transaction, campaign_id: str) -> list[IntegrityRow]:
    """Return the events of a campaign, undecided ones first."""
    rows = await tx.fetch(
        """
        select e.id, e.instrument, e.group_key, e.kind, e.ballots, e.held_at, e.verdict, e.reason,
          e.proposed_by, e.decided_by, e.ended_at,
          (select count(*) from voided_ballots v where v.integrity_event_id = e.id) as voided
        from integrity_events e where e.campaign_id = $1
        order by e.ended_at is not null, e.held_at desc nulls first, e.id limit $2
        """,
        campaign_id,
        LIST_MAX,
    )
    return [IntegrityRow(**row) for row in rows]


async def ballots_by_group(tx: Transaction, campaign_id: str) -> dict[int, tuple[int, int]]:
    """Response group → (ballots that count, void ballots)."""
    rows = await tx.fetch(
        """
        select b.response_group_id, count(*) filter (where v.ballot_id is null) as counted,
          count(v.ballot_id) as voided
        from ballots b left join voided_ballots v
          on v.campaign_id = b.campaign_id and v.ballot_id = b.ballot_id
        where b.campaign_id = $1 group by 1
        """,
        campaign_id,
    )
    return {row["response_group_id"]: (row["counted"], row["voided"]) for row in rows}


async def voided_ballots(
    tx: Transaction,
    campaign_id: str,
    response_group_ids: Collection[int],
) -> list[BallotAnswers]:
    """Return the void ballots of response groups."""
    rows = await tx.fetch(
        """
        select b.response_group_id, b.answers from ballots b join voided_ballots v
          on v.campaign_id = b.campaign_id and v.ballot_id = b.ballot_id
        where b.campaign_id = $1 and b.response_group_id = any($2)
        """,
        campaign_id,
        list(response_group_ids),
    )
    return [BallotAnswers(**row) for row in rows]
