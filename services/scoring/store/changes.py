"""Score changes (变动记录): how a unit's total changed, and what changed it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from services.scoring.domain.ledger import ScoreSource
from shared.storage.transaction import Transaction

_INSERT_BALLOT_CHANGES = """
insert into score_changes as c (campaign_id, unit_no, scheme_version, day, changed_at, source,
  ballots, before, after, rank_before, rank_after)
select $1, n.unit_no, $2, $3, $4, 'ballot',
  n.ballots, n.before, n.after, n.rank_before, n.rank_after
from unnest($5::int[], $6::int[], $7::numeric[], $8::numeric[], $9::int[], $10::int[])
  as n (unit_no, ballots, before, after, rank_before, rank_after)
on conflict (campaign_id, unit_no, scheme_version, day) where source = 'ballot'
do update set ballots = c.ballots + excluded.ballots, after = excluded.after,
  rank_after = excluded.rank_after, changed_at = excluded.changed_at
"""
_INSERT_CHANGE = """
insert into score_changes (campaign_id, unit_no, scheme_version, day, changed_at, source,
  ballots, events, before, after, rank_before, rank_after)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_CHANGES = """
select c.unit_no, c.changed_at, c.source, c.ballots, c.before, c.after, c.rank_before,
  c.rank_after, c.scheme_version, c.events, coalesce(e.entries, '{}') as entries
from score_changes c
left join lateral (
  select array_agg(array[l.measure, l.number, l.detail, l.text]) as entries
  from (
    select * from ledger l where l.campaign_id = c.campaign_id and l.event_id = any(c.events)
    order by l.occurred_at, l.event_id, l.part limit 20
  ) l
) e on true
where c.campaign_id = $1 and ($2::int is null or c.unit_no = $2)
  and ($3 = '' or c.source = $3) and ($4::date is null or c.day >= $4)
order by c.changed_at desc, c.id desc limit $5 offset $6
"""
_COUNT_CHANGES = """
select count(*) from score_changes
where campaign_id = $1 and ($2::int is null or unit_no = $2) and ($3 = '' or source = $3)
  and ($4::date is null or day >= $4)
"""
_TOTALS_ON = """
select distinct on (unit_no) unit_no, before as total, rank_before as rank from score_changes
where campaign_id = $1 and scheme_version = $2 and day > $3 order by unit_no, day, id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScoreChange:
    """A changed total: by `ballots` answers to item 1, the ledger's `events`, or new rules."""

    unit_no: int
    source: ScoreSource
    ballots: int
    events: Sequence[UUID]
    before: Decimal | None
    after: Decimal | None
    rank_before: int | None
    rank_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChangeRow:
    """A score change. `entries`: (measure, number, detail, text) of its ledger entries."""

    unit_no: int
    changed_at: datetime
    source: str
    ballots: int
    before: Decimal | None
    after: Decimal | None
    rank_before: int | None
    rank_after: int | None
    scheme_version: str
    events: list[UUID]
    entries: list[tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """Which score changes of a campaign to read; every condition is optional."""

    unit_no: int | None = None
    source: str = ""
    since: date | None = None


@dataclass(frozen=True, slots=True)
class EarlierTotal:
    """A unit's total and rank at the end of a past day."""

    total: Decimal | None
    rank: int | None


async def insert_changes(
    tx: Transaction,
    campaign_id: str,
    version: str,
    day: date,
    changes: Sequence[NewScoreChange],
) -> None:
    """Record changes. Ballots of one day are one row for each unit, everything else its own row."""
    from_ballots = [change for change in changes if change.source == ScoreSource.BALLOT]
    if from_ballots:
        columns = _ballot_columns(from_ballots)
        await tx.run(_INSERT_BALLOT_CHANGES, campaign_id, version, day, tx.now, *columns)
    for change in changes:
        if change.source != ScoreSource.BALLOT:
            await _insert_change(tx, campaign_id, version, day, change)


def _ballot_columns(changes: Sequence[NewScoreChange]) -> list[list[object]]:
    names = ("unit_no", "ballots", "before", "after", "rank_before", "rank_after")
    return [[getattr(change, name) for change in changes] for name in names]


async def _insert_change(
    tx: Transaction,
    campaign_id: str,
    version: str,
    day: date,
    change: NewScoreChange,
) -> None:
    await tx.run(
        _INSERT_CHANGE,
        campaign_id,
        change.unit_no,
        version,
        day,
        tx.now,
        change.source.value,
        change.ballots,
        list(change.events),
        change.before,
        change.after,
        change.rank_before,
        change.rank_after,
    )


async def list_changes(
    tx: Transaction,
    campaign_id: str,
    wanted: ChangeFilter,
    *,
    limit: int,
    offset: int = 0,
) -> list[ScoreChangeRow]:
    """Return changes, newest first."""
    rows = await tx.fetch(
        _CHANGES, campaign_id, wanted.unit_no, wanted.source, wanted.since, limit, offset
    )
    return [ScoreChangeRow(**row) for row in rows]


async def count_changes(
    tx: Transaction,
    campaign_id: str,
    wanted: ChangeFilter,
) -> int:
    """Return how many changes there are."""
    count: int = await tx.fetchval(
        _COUNT_CHANGES, campaign_id, wanted.unit_no, wanted.source, wanted.since
    )
    return count


async def totals_on(
    tx: Transaction,
    campaign_id: str,
    version: str,
    day: date,
) -> dict[int, EarlierTotal]:
    """Unit → total and rank at the end of the day, for units that changed since."""
    rows = await tx.fetch(_TOTALS_ON, campaign_id, version, day)
    return {unit_no: EarlierTotal(total, rank) for unit_no, total, rank in rows}
