"""Pending rescores: units that a transaction changed and that are not scored again yet."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from services.scoring.domain.ledger import ScoreSource
from shared.storage.transaction import Transaction

_MARK_DIRTY = """
insert into pending_rescores (campaign_id, shard, source, unit_nos, events)
values ($1, $2, $3, $4, $5)
"""
_TAKE_PENDING = """
delete from pending_rescores where id in (
  select id from pending_rescores where $2 or source <> 'ballot'
  order by id limit $1 for update skip locked
)
returning campaign_id, source, unit_nos, events
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRescoreRow:
    """Units to score again, and the ledger's events that changed them."""

    campaign_id: str
    source: str
    unit_nos: list[int]
    events: list[UUID]


async def mark_dirty(
    tx: Transaction,
    campaign_id: str,
    *,
    shard: int,
    source: ScoreSource,
    unit_nos: Iterable[int],
    events: Collection[UUID] = (),
) -> None:
    """Record that these units have to be scored again, and which events changed them."""
    await tx.run(_MARK_DIRTY, campaign_id, shard, source.value, sorted(unit_nos), list(events))


async def take_pending(
    tx: Transaction,
    *,
    limit: int,
    include_ballots: bool,
) -> list[PendingRescoreRow]:
    """Delete and return pending rescores that no other transaction is taking."""
    rows = await tx.fetch(_TAKE_PENDING, limit, include_ballots)
    return [PendingRescoreRow(**row) for row in rows]
