"""Deadlines and obligations: what is due is claimed in order of time, each row by one worker, in one
statement.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from services.casework.domain import DeadlineState
from services.casework.tables import Deadline, Obligation
from shared.storage.transaction import Transaction

# ── what is due ───────────────────────────────────────────────────────────────────────────────────

# FOR UPDATE SKIP LOCKED inside, the mark outside: a row that somebody is just ending is left to
# them, a crash gives all of it back.
_CLAIM_LAPSED: Final = """
with due as (
  select id from deadlines where state = 'running' and due_at <= public.app_now() order by due_at limit $1 for update skip locked
), fired as (
  update deadlines d set state = 'lapsed', lapsed_at = public.app_now(), next_warn_at = null
  from due where d.id = due.id returning d.*
)
"""
_CLAIM_WARNED: Final = """
with due as (
  select id from deadlines where state = 'running' and next_warn_at <= public.app_now() and due_at > public.app_now()
  order by next_warn_at limit $1 for update skip locked
), fired as (
  update deadlines d set warned_at = public.app_now(),
    next_warn_at = (select min(w) from unnest(d.later_warns) w where w > public.app_now()),
    later_warns = array(select w from unnest(d.later_warns) w where w > public.app_now() order by w offset 1)
  from due where d.id = due.id returning d.*
)
"""
_TOLD: Final = """
select f.id, f.kind, f.due_at, f.unit_id as bound_unit_id, f.warned_at, f.case_id, f.obligation_id,
  extract(epoch from public.app_now() - {due})::float8 as late_seconds,
  c.number, coalesce(c.campaign_id, y.campaign_id) as campaign_id, coalesce(c.unit_id, y.unit_id) as unit_id, y.obligation_rule_id
from fired f left join cases c on c.id = f.case_id left join obligations y on y.id = f.obligation_id
order by {due}, f.id
"""


async def claim_lapsed(tx: Transaction, limit: int) -> list[Any]:
    """Mark up to `limit` deadlines lapsed that have passed by the database's clock, oldest first,
    and give what has to be told.
    """
    return await tx.fetch(_CLAIM_LAPSED + _TOLD.format(due="f.due_at"), limit)


async def claim_warned(tx: Transaction, limit: int) -> list[Any]:
    """The same for warnings; a warning whose deadline has passed is not given any more."""
    return await tx.fetch(_CLAIM_WARNED + _TOLD.format(due="f.warned_at"), limit)


# ── deadlines of one case ─────────────────────────────────────────────────────────────────────────


async def of_case(tx: Transaction, case_id: UUID) -> list[Deadline]:
    """Every deadline a case ever had, in order of their beginning. Read after the case was locked,
    or to be shown only.
    """
    return await tx.scalars(
        select(Deadline)
        .where(col(Deadline.case_id) == case_id)
        .order_by(col(Deadline.starts_at), col(Deadline.id))
    )


async def locked(tx: Transaction, case_id: UUID) -> list[Deadline]:
    """The deadlines of a case, locked: the sweep neither holds nor takes them until the transaction
    ends.
    """
    return await tx.scalars(
        select(Deadline)
        .where(col(Deadline.case_id) == case_id)
        .order_by(col(Deadline.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )


async def listed(
    tx: Transaction,
    *,
    everything: bool,
    unit_id: str | None,
    state: str | None,
    kind: str | None,
    before: datetime | None,
    limit: int,
) -> list[Any]:
    """Deadlines as a person may see them, in order of time."""
    return await tx.fetch(
        """
        select d.id, d.kind, d.state, d.starts_at, d.due_at, d.warn_at, d.severe_at, d.provisional, d.rule_id, d.scheme_version,
          d.calendar_version, d.warned_at, d.lapsed_at, d.ended_at, d.terms, c.number, y.id as obligation_id, y.label,
          coalesce(c.unit_id, y.unit_id) as unit_id
        from deadlines d left join cases c on c.id = d.case_id left join obligations y on y.id = d.obligation_id
        where ($1 or (coalesce(c.unit_id, y.unit_id) = $2 and c.excluded_unit_id is distinct from $2))
          and ($3::text is null or d.state = $3) and ($4::text is null or d.kind = $4) and ($5::timestamptz is null or d.due_at < $5)
        order by d.due_at, d.id limit $6
        """,
        everything,
        unit_id,
        state,
        kind,
        before,
        limit,
    )


# ── obligations of units ───────────────────────────────────────────────────────────────────────────────


async def obligations_of(
    tx: Transaction, campaign_id: str
) -> dict[tuple[str, str], tuple[Obligation, Deadline]]:
    """The obligations of a campaign's units with their deadlines, locked, by (unit, obligation)."""
    rows = await tx.rows(
        select(Obligation, Deadline)
        .join(Deadline, col(Deadline.obligation_id) == col(Obligation.id))
        .where(col(Obligation.campaign_id) == campaign_id)
        .order_by(col(Deadline.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {
        (obligation.unit_id, obligation.obligation_rule_id): (obligation, deadline)
        for obligation, deadline in map(tuple, rows)
    }


async def obligation_to_change(
    tx: Transaction, obligation_id: UUID, unit_id: str | None
) -> tuple[Obligation, Deadline] | None:
    """An obligation of this unit (None: of any unit) with its deadline, locked."""
    wanted = (
        select(Obligation, Deadline)
        .join(Deadline, col(Deadline.obligation_id) == col(Obligation.id))
        .where(col(Obligation.id) == obligation_id)
    )
    if unit_id is not None:
        wanted = wanted.where(col(Obligation.unit_id) == unit_id)
    rows = await tx.rows(wanted.with_for_update().execution_options(populate_existing=True))
    return next(((obligation, deadline) for obligation, deadline in map(tuple, rows)), None)


async def obligations(tx: Transaction, *, everything: bool, unit_id: str | None) -> list[Any]:
    """Obligations as a person may see them: open ones first, by due time."""
    return await tx.fetch(
        """
        select y.id, y.campaign_id, y.unit_id, u.name as unit_name, y.obligation_rule_id, y.label, y.deliverable, y.fulfilled_at, y.fulfilled_by_name,
          y.document, d.due_at, d.warn_at, d.severe_at, d.provisional, d.state, d.lapsed_at, d.ended_at, d.rule_id, d.terms
        from obligations y join deadlines d on d.obligation_id = y.id left join units u on (u.campaign_id, u.unit_id) = (y.campaign_id, y.unit_id)
        where ($1 or y.unit_id = $2) and d.state <> 'cancelled' order by y.fulfilled_at is not null, d.due_at, u.unit_no
        """,
        everything,
        unit_id,
    )


# ── another calendar ──────────────────────────────────────────────────────────────────────────────


async def touched_by(tx: Transaction, first: datetime, last: datetime, *, lock: bool) -> list[Any]:
    """Running deadlines of cases whose time may count a day between these instants, ordered by
    case.
    """
    return await tx.fetch(
        f"""
        select d.id, d.case_id, d.kind, d.unit_id, d.starts_at, d.terms, d.due_at, d.provisional, d.state, c.number, c.campaign_id,
          c.unit_id as case_unit_id, c.redacted_summary
        from deadlines d join cases c on c.id = d.case_id
        where d.state = '{DeadlineState.RUNNING}' and d.starts_at < $2 and (d.severe_at >= $1 or d.provisional)
        order by c.id, d.id {"for update of d" if lock else ""}
        """,
        first,
        last,
    )


async def shift(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """Move deadlines: rows of (id, due_at, warn_at, severe_at, provisional, calendar_version). What
    was warned stays warned.
    """
    if rows:
        await tx.run(
            """
            update deadlines d set due_at = s.due_at, warn_at = s.warn_at, severe_at = s.severe_at, provisional = s.provisional,
              calendar_version = s.calendar_version, next_warn_at = case when d.warned_at is null then s.warn_at end
            from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::boolean[], $6::text[])
              as s (id, due_at, warn_at, severe_at, provisional, calendar_version) where d.id = s.id
            """,
            *map(list, zip(*rows, strict=True)),
        )
