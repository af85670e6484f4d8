"""Counts over all cases: for the supervisor and for the gauges."""

from dataclasses import dataclass
from datetime import datetime

from services.casework.store.case_lists import DueSoon
from services.casework.store.scope import IS_OPEN
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class UnitStatistics:
    """A unit's open cases, and how those closed in a period went.

    `days` is the mean time from assignment to closure; None if no case was closed.
    """

    unit_id: str
    name: str
    open: int
    late: int
    soon: int
    closed: int
    on_time: int
    days: float | None
    rated: int
    dissatisfied: int


async def by_unit(
    tx: Transaction,
    *,
    since: datetime,
    due: DueSoon,
) -> list[UnitStatistics]:
    """Return the statistics of every unit with open cases or cases closed since `since`."""
    records = await tx.fetch(
        f"""
        with running as (
          select c.campaign_id, c.unit_id, (
            select min(d.due_at) from deadlines d
            where d.case_id = c.id and d.state in ('running', 'lapsed')
          ) as due
          from cases c where {IS_OPEN} and c.unit_id is not null
        ), open as (
          select campaign_id, unit_id, count(*) as open,
            count(*) filter (where due <= $1) as late,
            count(*) filter (where due > $1 and due < $2) as soon
          from running group by 1, 2
        ), done as (
          select campaign_id, unit_id, count(*) as closed,
            count(*) filter (where not late) as on_time,
            avg(extract(epoch from closed_at - assigned_at) / 86400)::float8 as days,
            count(rating) as rated,
            count(*) filter (where rating = any($4::int[])) as dissatisfied
          from cases where closed_at >= $3 group by 1, 2
        )
        select u.unit_id, u.name,
          coalesce(o.open, 0) as open, coalesce(o.late, 0) as late, coalesce(o.soon, 0) as soon,
          coalesce(d.closed, 0) as closed, coalesce(d.on_time, 0) as on_time, d.days,
          coalesce(d.rated, 0) as rated, coalesce(d.dissatisfied, 0) as dissatisfied
        from units u
          left join open o using (campaign_id, unit_id)
          left join done d using (campaign_id, unit_id)
        where o.open is not null or d.closed is not null
        order by late desc, soon desc, open desc, u.name
        """,
        tx.now,
        due.soon_before,
        since,
        list(due.dissatisfied),
    )
    return [UnitStatistics(**record) for record in records]


@dataclass(frozen=True, slots=True)
class SupervisionCounts:
    """What the supervisor's tiles show."""

    late: int
    soon: int
    returned: int
    unsigned: int
    dissatisfied: int


async def counts(
    tx: Transaction,
    *,
    unsigned_since: datetime,
    due: DueSoon,
) -> SupervisionCounts:
    """Count what a supervisor has to look at, in one pass."""
    record = await tx.fetchrow(
        f"""
        select
          count(*) filter (where d.due <= $1) as late,
          count(*) filter (where d.due > $1 and d.due < $2) as soon,
          count(*) filter (where c.returns > 0 and c.state = 'pending') as returned,
          count(*) filter (where c.state = 'assigned' and c.assigned_at <= $3) as unsigned,
          (select count(*) from cases where rating is not null and rating = any($4::int[]))
            as dissatisfied
        from cases c left join lateral (
          select min(due_at) as due from deadlines d
          where d.case_id = c.id and d.state in ('running', 'lapsed')
        ) d on true
        where {IS_OPEN}
        """,
        tx.now,
        due.soon_before,
        unsigned_since,
        list(due.dissatisfied),
    )
    assert record is not None, "an aggregate returns one row"
    return SupervisionCounts(**record)


@dataclass(frozen=True, slots=True)
class OpenCount:
    """How many open cases are in a state, by the status of their first deadline."""

    state: str
    deadline_status: str
    cases: int


async def count_open(tx: Transaction) -> list[OpenCount]:
    """Count the open cases for the gauge."""
    records = await tx.fetch(
        f"""
        select c.state,
          case
            when c.state = 'paused' then 'paused'
            when d.severe_at <= $1 then 'severe'
            when d.due_at <= $1 then 'late'
            when d.warn_at <= $1 then 'warning'
            else 'normal'
          end as deadline_status,
          count(*) as cases
        from cases c left join lateral (
          select due_at, warn_at, severe_at from deadlines d
          where d.case_id = c.id and d.state in ('running', 'lapsed') order by due_at limit 1
        ) d on true
        where {IS_OPEN} group by 1, 2
        """,
        tx.now,
    )
    return [OpenCount(**record) for record in records]
