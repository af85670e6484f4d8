"""Deadlines: claims of what is due, the deadlines of one case, and moves by another calendar."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from services.casework.domain.deadlines import DeadlineState
from services.casework.store.scope import CaseScope
from services.casework.tables import Deadline
from shared.appraisal.calendar.deadlines import DeadlineTimes
from shared.security.policies import Account
from shared.storage.transaction import Transaction

# ── claims ────────────────────────────────────────────────────────────────────────────────────────

# SKIP LOCKED leaves a row to the action that is ending it; the update marks the rest, and a crash
# undoes the marks.
_CLAIM_LAPSED: Final = """
with due as (
  select id from deadlines
  where state = 'running' and due_at <= public.app_now() order by due_at limit $1
  for update skip locked
), claimed as (
  update deadlines d
  set state = 'lapsed', lapsed_at = public.app_now(), next_warn_at = null
  from due where d.id = due.id returning d.*
)
"""
_CLAIM_WARNED: Final = """
with due as (
  select id from deadlines
  where state = 'running' and next_warn_at <= public.app_now() and due_at > public.app_now()
  order by next_warn_at limit $1
  for update skip locked
), claimed as (
  update deadlines d
  set warned_at = public.app_now(),
    next_warn_at = (select min(w) from unnest(d.later_warns) w where w > public.app_now()),
    later_warns = array(
      select w from unnest(d.later_warns) w where w > public.app_now() order by w offset 1
    )
  from due where d.id = due.id returning d.*
)
"""
_CLAIMED: Final = """
select f.kind, f.due_at, f.case_id, f.obligation_id,
  extract(epoch from public.app_now() - {since})::float8 as late_seconds,
  c.number, coalesce(c.campaign_id, y.campaign_id) as campaign_id,
  coalesce(c.unit_id, y.unit_id) as unit_id, y.obligation_rule_id
from claimed f
  left join cases c on c.id = f.case_id
  left join obligations y on y.id = f.obligation_id
order by {since}, f.id
"""


@dataclass(frozen=True, slots=True)
class ClaimedDeadline:
    """A deadline that lapsed or is near, and what it belongs to.

    `number` is set for a deadline of a case, `obligation_rule_id` for one of an obligation.
    """

    kind: str
    due_at: datetime
    case_id: UUID | None
    obligation_id: UUID | None
    late_seconds: float
    number: str | None
    campaign_id: str
    unit_id: str | None
    obligation_rule_id: str | None

    @property
    def case_fields(self) -> dict[str, Any]:
        """The fields that events of a case's deadline carry."""
        return {
            "case_id": self.case_id,
            "number": self.number,
            "campaign_id": self.campaign_id,
            "unit_id": self.unit_id,
            "deadline": self.kind,
            "due_at": self.due_at,
        }

    @property
    def obligation_fields(self) -> dict[str, Any]:
        """The fields that events of an obligation's deadline carry."""
        return {
            "obligation_id": self.obligation_id,
            "obligation_rule_id": self.obligation_rule_id,
            "campaign_id": self.campaign_id,
            "unit_id": self.unit_id,
            "due_at": self.due_at,
        }


async def claim_lapsed(tx: Transaction, limit: int) -> list[ClaimedDeadline]:
    """Mark up to `limit` deadlines lapsed that the database's clock has passed, oldest first."""
    statement = _CLAIM_LAPSED + _CLAIMED.format(since="f.due_at")
    return await _claim(tx, statement, limit)


async def claim_warned(tx: Transaction, limit: int) -> list[ClaimedDeadline]:
    """Mark up to `limit` deadlines warned. A deadline that has passed is not warned any more."""
    statement = _CLAIM_WARNED + _CLAIMED.format(since="f.warned_at")
    return await _claim(tx, statement, limit)


async def _claim(
    tx: Transaction,
    statement: str,
    limit: int,
) -> list[ClaimedDeadline]:
    records = await tx.fetch(statement, limit)
    return [ClaimedDeadline(**record) for record in records]


# ── deadlines of one case ─────────────────────────────────────────────────────────────────────────


async def of_case(tx: Transaction, case_id: UUID) -> list[Deadline]:
    """Return every deadline that a case ever had, in order of their start."""
    return await tx.scalars(
        select(Deadline)
        .where(col(Deadline.case_id) == case_id)
        .order_by(col(Deadline.starts_at), col(Deadline.id))
    )


async def lock_of_case(tx: Transaction, case_id: UUID) -> list[Deadline]:
    """Return the deadlines of a case, locked: no sweep claims them until the transaction ends."""
    return await tx.scalars(
        select(Deadline)
        .where(col(Deadline.case_id) == case_id)
        .order_by(col(Deadline.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DeadlineFilter:
    """What a list of deadlines is restricted to."""

    state: str | None = None
    kind: str | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadlineListRow:
    """A deadline of a case (`number`, `matter`) or of an obligation (`obligation_id`, `label`).

    `matter`: 诉求类型 of the case.
    """

    id: UUID
    kind: str
    number: str | None
    matter: str | None
    obligation_id: UUID | None
    label: str | None
    unit_id: str | None
    state: str
    starts_at: datetime
    due_at: datetime
    warn_at: datetime
    provisional: bool
    rule_id: str
    scheme_version: str
    calendar_version: str
    warned_at: datetime | None
    lapsed_at: datetime | None
    ended_at: datetime | None


async def find(
    tx: Transaction,
    user: Account,
    wanted: DeadlineFilter,
    *,
    limit: int,
) -> list[DeadlineListRow]:
    """Return the deadlines that this person may see, in order of time."""
    records = await tx.fetch(
        """
        select d.id, d.kind, c.number, c.kind as matter, y.id as obligation_id, y.label,
          coalesce(c.unit_id, y.unit_id) as unit_id, d.state, d.starts_at, d.due_at, d.warn_at,
          d.provisional, d.rule_id, d.scheme_version, d.calendar_version,
          d.warned_at, d.lapsed_at, d.ended_at
        from deadlines d
          left join cases c on c.id = d.case_id
          left join obligations y on y.id = d.obligation_id
        where ($1 or coalesce(c.unit_id, y.unit_id) = any($2::text[]))
          and not coalesce(c.excluded_unit_ids, '{}') && $2::text[]
          and ($3::text is null or d.state = $3)
          and ($4::text is null or d.kind = $4)
          and ($5::timestamptz is null or d.due_at < $5)
        order by d.due_at, d.id limit $6
        """,
        *CaseScope.of(user).arguments,
        wanted.state,
        wanted.kind,
        wanted.before,
        limit,
    )
    return [DeadlineListRow(**record) for record in records]


# ── another calendar ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CaseDeadlineRow:
    """A running deadline with its case, as needed to compute it again."""

    id: UUID
    case_id: UUID
    kind: str
    starts_at: datetime
    terms: str
    due_at: datetime
    provisional: bool
    number: str
    campaign_id: str
    unit_id: str | None


async def running_between(
    tx: Transaction,
    first: datetime,
    last: datetime,
    *,
    lock: bool,
) -> list[CaseDeadlineRow]:
    """Return the running case deadlines that may count a day between two instants, by case."""
    records = await tx.fetch(
        f"""
        select d.id, d.case_id, d.kind, d.starts_at, d.terms, d.due_at, d.provisional,
          c.number, c.campaign_id, c.unit_id
        from deadlines d join cases c on c.id = d.case_id
        where d.state = '{DeadlineState.RUNNING}' and d.starts_at < $2
          and (d.severe_at >= $1 or d.provisional)
        order by c.id, d.id {"for update of d" if lock else ""}
        """,
        first,
        last,
    )
    return [CaseDeadlineRow(**record) for record in records]


async def move(
    tx: Transaction,
    ids: Sequence[UUID],
    times: Sequence[DeadlineTimes],
) -> None:
    """Move deadlines to new times. A deadline that was warned is not warned again."""
    await tx.run(
        """
        update deadlines d
        set due_at = s.due_at, warn_at = s.warn_at, severe_at = s.severe_at,
          provisional = s.provisional, calendar_version = s.calendar_version,
          next_warn_at = case when d.warned_at is null then s.warn_at end
        from unnest(
          $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[],
          $5::boolean[], $6::text[]
        ) as s (id, due_at, warn_at, severe_at, provisional, calendar_version)
        where d.id = s.id
        """,
        list(ids),
        [at.at for at in times],
        [at.warn_at for at in times],
        [at.severe_at for at in times],
        [at.provisional for at in times],
        [at.calendar_version for at in times],
    )
