"""Cases: opening many at once, loading one to change it, lists and counts as a person may see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlmodel import col

from services.casework.domain import OPEN, UNIT_ROLES
from services.casework.tables import Case, Extension, Step, Submission, Suspension
from shared.security.policies import Account
from shared.storage.transaction import Transaction

# ── who sees what ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Scope:
    """What a person may find: everything, or the cases of one unit that are not about the unit
    itself.
    """

    unit_id: str | None
    everything: bool

    @classmethod
    def of(cls, user: Account) -> "Scope":
        """An account of a unit without a unit finds nothing."""
        return cls(user.unit_id, user.role not in UNIT_ROLES)


# $1 everything, $2 unit. The bar is asked for although no excluded unit can be responsible: two locks
# on this door.
_VISIBLE: Final = "($1 or (c.unit_id = $2 and c.excluded_unit_id is distinct from $2))"


# ── opening ───────────────────────────────────────────────────────────────────────────────────────


_RESERVE: Final = """
with fresh as (
  select distinct on (source, source_id) * from unnest($1::int[], $2::text[], $3::uuid[]) with ordinality as m (year, source, source_id, n)
  where not exists (select from cases c where (c.source, c.source_id) = (m.source, m.source_id)) order by source, source_id, n
), reserved as (
  insert into series as s (year, last) select year, count(*) from fresh group by year order by year
  on conflict (year) do update set last = s.last + excluded.last returning year, last
)
select source, source_id, last - count(*) over (partition by year) + row_number() over (partition by year order by n) as number
from fresh join reserved using (year)
"""


async def reserve_numbers(
    tx: Transaction, matters: Sequence[tuple[int, str, UUID]]
) -> dict[tuple[str, str], int]:
    """Numbers for those of (year, source, source id) that have no case yet, in their order:
    (source, id as text) → number.

    Their years are locked (`reference.rules_for_opening`), so that nobody opens one of them
    meanwhile.
    """
    rows = await tx.fetch(
        _RESERVE,
        [year for year, *_ in matters],
        [source for _, source, _ in matters],
        [id for *_, id in matters],
    )
    return {(row["source"], str(row["source_id"])): row["number"] for row in rows}


CASE_COLUMNS: Final = (
    "id",
    "number",
    "campaign_id",
    "source",
    "source_id",
    "source_number",
    "channel",
    "kind",
    "urgency",
    "problem_item",
    "redacted_summary",
    "real_name",
    "named_unit_id",
    "excluded_unit_id",
    "unit_id",
    "state",
    "version",
    "received_at",
    "received_on",
    "opened_at",
    "assigned_at",
    "late",
    "returns",
    "repeats",
    "urges",
)
STEP_COLUMNS: Final = (
    "case_id",
    "at",
    "verb",
    "state",
    "unit_id",
    "by_name",
    "by_role",
    "text",
    "facts",
)
DEADLINE_COLUMNS: Final = (
    "id",
    "case_id",
    "obligation_id",
    "unit_id",
    "kind",
    "starts_at",
    "terms",
    "due_at",
    "warn_at",
    "severe_at",
    "provisional",
    "rule_id",
    "scheme_version",
    "calendar_version",
    "state",
    "next_warn_at",
    "later_warns",
)


_OPEN: Final = f"""
with opened as (
  insert into cases ({", ".join(CASE_COLUMNS)}) select {", ".join(CASE_COLUMNS)} from json_populate_recordset(null::cases, $1::json)
), stepped as (
  insert into steps ({", ".join(STEP_COLUMNS)}) select {", ".join(STEP_COLUMNS)} from json_populate_recordset(null::steps, $2::json)
)
insert into deadlines ({", ".join(DEADLINE_COLUMNS)})
select {", ".join(DEADLINE_COLUMNS)} from json_populate_recordset(null::deadlines, $3::json)
"""


async def write_opened(
    tx: Transaction,
    cases: Sequence[dict[str, Any]],
    steps: Sequence[dict[str, Any]],
    deadlines: Sequence[dict[str, Any]],
) -> None:
    """Write many new cases with their first steps and deadlines in one statement (by the names of
    the columns).
    """
    await tx.run(_OPEN, *(msgspec.json.encode(rows).decode() for rows in (cases, steps, deadlines)))


async def note_repeats(tx: Transaction, complaint_id: UUID, repeats: int) -> None:
    await tx.run(
        "update cases set repeats = $2 where source = 'complaint' and source_id = $1",
        complaint_id,
        repeats,
    )


async def note_rating(tx: Transaction, complaint_id: UUID, option: int) -> None:
    await tx.run(
        "update cases set rating = $2 where source = 'complaint' and source_id = $1",
        complaint_id,
        option,
    )


# ── one case ──────────────────────────────────────────────────────────────────────────────────────


async def to_change(tx: Transaction, number: str, user: Account) -> Case | None:
    """The case of that number, locked until the transaction ends; None when this person may not
    find it.
    """
    scope = Scope.of(user)
    wanted = select(Case).where(col(Case.number) == number)
    if not scope.everything:
        wanted = wanted.where(
            col(Case.unit_id) == scope.unit_id,
            col(Case.excluded_unit_id).is_distinct_from(scope.unit_id),
        )
    # NO KEY UPDATE: rows that only point at the case need not wait for it.
    return await tx.scalar(
        wanted.with_for_update(key_share=True).execution_options(populate_existing=True)
    )


async def case(tx: Transaction, number: str, user: Account) -> Any | None:
    """A case to be shown, with the names of its units and campaign; None when this person may not
    find it.
    """
    scope = Scope.of(user)
    return await tx.fetchrow(
        f"""
        select c.*, u.name as unit_name, n.name as named_unit_name, p.title as campaign_title
        from cases c join campaigns p on p.id = c.campaign_id
          left join units u on (u.campaign_id, u.unit_id) = (c.campaign_id, c.unit_id)
          left join units n on (n.campaign_id, n.unit_id) = (c.campaign_id, c.named_unit_id)
        where c.number = $3 and {_VISIBLE}
        """,
        scope.everything,
        scope.unit_id,
        number,
    )


async def steps(tx: Transaction, case_id: UUID) -> list[Any]:
    """The history of a case, newest first."""
    return await tx.fetch(
        """
        select s.at, s.verb, s.state, s.unit_id, s.by_name, s.text, s.facts::text as facts, u.name as unit_name
        from steps s join cases c on c.id = s.case_id
          left join units u on (u.campaign_id, u.unit_id) = (c.campaign_id, s.unit_id)
        where s.case_id = $1 order by s.id desc
        """,
        case_id,
    )


async def submissions(tx: Transaction, case_id: UUID) -> list[Submission]:
    """What the unit sent for review, newest first."""
    return await tx.scalars(
        select(Submission)
        .where(col(Submission.case_id) == case_id)
        .order_by(col(Submission.no).desc())
    )


async def extensions(tx: Transaction, case_id: UUID) -> list[Extension]:
    """The extensions ever asked for, newest first."""
    return await tx.scalars(
        select(Extension)
        .where(col(Extension.case_id) == case_id)
        .order_by(col(Extension.asked_at).desc())
    )


async def suspensions(tx: Transaction, case_id: UUID) -> list[Suspension]:
    """The times the clock stood still, oldest first."""
    return await tx.scalars(
        select(Suspension).where(col(Suspension.case_id) == case_id).order_by(col(Suspension.since))
    )


async def suspensions_of(tx: Transaction, case_ids: Sequence[UUID]) -> dict[UUID, list[Suspension]]:
    """The same for many cases at once."""
    wanted = (
        select(Suspension)
        .where(col(Suspension.case_id).in_(case_ids))
        .order_by(col(Suspension.since))
    )
    all_of_them: list[Suspension] = await tx.scalars(wanted)
    found: dict[UUID, list[Suspension]] = {}
    for one in all_of_them:
        found.setdefault(one.case_id, []).append(one)
    return found


async def last_returned_by(tx: Transaction, case_id: UUID) -> str | None:
    """The unit that returned the case last; None when none ever did."""
    return await tx.scalar(
        select(col(Step.unit_id))
        .where(col(Step.case_id) == case_id, col(Step.verb) == "return")
        .order_by(col(Step.id).desc())
        .limit(1)
    )


async def due_resumptions(tx: Transaction, limit: int) -> list[tuple[Case, Suspension]]:
    """Paused cases whose clock has to go on by now, locked; those that somebody else holds are left
    out.
    """
    rows = await tx.rows(
        select(Case, Suspension)
        .join(Suspension, col(Suspension.case_id) == col(Case.id))
        .where(col(Suspension.ended_at).is_(None), col(Suspension.until) <= tx.now)
        .order_by(col(Suspension.until))
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [(case, suspension) for case, suspension in map(tuple, rows)]


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list is narrowed to. `deadline_status`: `late` (超期), `soon` (今明到期: due before
    `soon_before`).
    """

    states: tuple[str, ...] = ()
    unit_id: str | None = None
    campaign_id: str | None = None
    kind: str | None = None
    source: str | None = None
    deadline_status: str | None = None
    handler_id: UUID | None = None
    dissatisfied: bool = False
    returned: bool = False
    unsigned_since: datetime | None = None
    q: str = ""


# The running deadline that comes first is the one a list shows. A closed case shows how its
# handling ended.
_LISTED: Final = f"""
from cases c
  left join units u on (u.campaign_id, u.unit_id) = (c.campaign_id, c.unit_id)
  left join lateral (
    select kind, due_at, warn_at, severe_at, provisional, terms, state, lapsed_at, ended_at from deadlines d
    where d.case_id = c.id and (d.state in ('running', 'lapsed', 'paused') or (d.kind = 'handle' and d.state = 'completed'))
    order by d.state = 'completed', d.due_at limit 1
  ) d on true
where {_VISIBLE}
  and (cardinality($3::text[]) = 0 or c.state = any($3))
  and ($4::text is null or c.unit_id = $4)
  and ($5::text is null or c.campaign_id = $5)
  and ($6::text is null or c.kind = $6)
  and ($7::text is null or c.source = $7)
  and ($8::text is null or ($8 = 'late' and d.state in ('running', 'lapsed') and d.due_at <= $9)
    or ($8 = 'soon' and d.state = 'running' and d.due_at > $9 and d.due_at < $10))
  and ($11::uuid is null or c.handler_id = $11)
  and (not $12 or (c.rating is not null and c.rating = any($13::int[])))
  and (not $14 or (c.returns > 0 and c.state = 'pending'))
  and ($15::timestamptz is null or (c.state = 'assigned' and c.assigned_at <= $15))
  and ($16 = '' or c.number ilike '%' || $16 || '%' or c.redacted_summary ilike '%' || $16 || '%' or u.name ilike '%' || $16 || '%'
    or c.handler_name ilike '%' || $16 || '%')
"""
_ORDERED: Final = """
order by case when d.state is null or d.state = 'completed' then 4 when d.state = 'paused' then 3
              when d.severe_at <= $9 then 0 when d.due_at <= $9 then 1 else 2 end,
         case when d.state = 'completed' or d.state is null then null else d.due_at end, c.closed_at desc nulls last, c.number
limit $17 offset $18
"""


def _arguments(
    scope: Scope, wanted: Filter, now: datetime, soon_before: datetime, dissatisfied: Sequence[int]
) -> list[Any]:
    # Only an open case can be late: without its states the question would look at every case ever
    # closed.
    states = wanted.states or (tuple(OPEN) if wanted.deadline_status else ())
    return [
        scope.everything,
        scope.unit_id,
        list(states),
        wanted.unit_id,
        wanted.campaign_id,
        wanted.kind,
        wanted.source,
        wanted.deadline_status,
        now,
        soon_before,
        wanted.handler_id,
        wanted.dissatisfied,
        list(dissatisfied),
        wanted.returned,
        wanted.unsigned_since,
        _literal(wanted.q),
    ]


def _literal(text: str) -> str:
    """What was typed, so that `like` takes no letter of it for a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def listed(
    tx: Transaction,
    user: Account,
    wanted: Filter,
    *,
    soon_before: datetime,
    dissatisfied: Sequence[int] = (),
    rows: int,
    page: int,
) -> tuple[list[Any], int]:
    """One page of the cases this person may see, most urgent first, and how many there are in all."""
    arguments = _arguments(Scope.of(user), wanted, tx.now, soon_before, dissatisfied)
    found = await tx.fetch(
        f"""
        select count(*) over () as total, c.id, c.number, c.kind, c.urgency, c.state, c.redacted_summary, c.unit_id, u.name as unit_name,
          c.handler_name, c.problem_item, c.campaign_id, c.source, c.received_on, c.assigned_at, c.closed_at, c.late, c.returns, c.repeats,
          c.rating, c.version, c.named_unit_id, c.excluded_unit_id, c.urges,
          d.kind as stage, d.due_at, d.warn_at, d.severe_at, d.provisional, d.terms, d.state as deadline_state, d.lapsed_at, d.ended_at
        {_LISTED} {_ORDERED}
        """,
        *arguments,
        rows,
        (page - 1) * rows,
    )
    if found or page == 1:
        return found, found[0]["total"] if found else 0
    return [], await tx.fetchval(f"select count(*) {_LISTED}", *arguments)


async def tally(tx: Transaction, user: Account, *, soon_before: datetime) -> dict[str, int]:
    """How many cases this person may see, by state, and of the open ones how many are late or due
    soon.
    """
    scope = Scope.of(user)
    rows = await tx.fetch(
        f"""
        select c.state, count(*) as n,
          count(*) filter (where d.due <= $3) as late, count(*) filter (where d.due > $3 and d.due < $4) as soon
        from cases c left join lateral (
          select min(due_at) as due from deadlines d where d.case_id = c.id and d.state in ('running', 'lapsed')
        ) d on c.state in ('pending', 'assigned', 'handling', 'reviewing')
        where {_VISIBLE} group by c.state
        """,
        scope.everything,
        scope.unit_id,
        tx.now,
        soon_before,
    )
    counted = {row["state"]: row["n"] for row in rows}
    return counted | {
        "late": sum(row["late"] for row in rows),
        "soon": sum(row["soon"] for row in rows),
    }


async def with_request(tx: Transaction, user: Account, *, rows: int = 100) -> list[str]:
    """Numbers of the cases this person may see in which an extension waits for a decision, the one
    that runs out first on top.
    """
    scope = Scope.of(user)
    found = await tx.fetch(
        f"""
        select c.number from extensions e join cases c on c.id = e.case_id
          join deadlines d on d.case_id = c.id and d.kind = 'handle' and d.state = 'running'
        where e.state = 'asked' and {_VISIBLE} order by d.due_at limit $3
        """,
        scope.everything,
        scope.unit_id,
        rows,
    )
    return [row["number"] for row in found]


async def units_with_cases(tx: Transaction, user: Account) -> list[tuple[str, str]]:
    """The units (id, name) that are responsible for a case this person may see."""
    scope = Scope.of(user)
    found = await tx.fetch(
        f"""
        select u.unit_id, min(u.name) as name from units u
        where exists (select from cases c where c.unit_id = u.unit_id and c.campaign_id = u.campaign_id and {_VISIBLE})
        group by u.unit_id order by min(u.unit_no)
        """,
        scope.everything,
        scope.unit_id,
    )
    return [(row["unit_id"], row["name"]) for row in found]


async def found(tx: Transaction, user: Account, q: str, *, rows: int = 8) -> list[Any]:
    """Cases whose number or redacted summary holds `q`, for the palette."""
    scope = Scope.of(user)
    return await tx.fetch(
        f"""
        select c.number, c.redacted_summary, c.state from cases c
        where {_VISIBLE} and (c.number ilike '%' || $3 || '%' or c.redacted_summary ilike '%' || $3 || '%') order by c.number desc limit $4
        """,
        scope.everything,
        scope.unit_id,
        _literal(q),
        rows,
    )


# ── the supervisor's board ────────────────────────────────────────────────────────────────────────


async def by_unit(
    tx: Transaction, *, since: datetime, soon_before: datetime, dissatisfied: Sequence[int]
) -> list[Any]:
    """Each unit's open cases by urgency, and how those closed since `since` went."""
    return await tx.fetch(
        """
        with running as (
          select c.campaign_id, c.unit_id, c.state, c.assigned_at,
            (select min(d.due_at) from deadlines d where d.case_id = c.id and d.state in ('running', 'lapsed')) as due
          from cases c where c.state in ('assigned', 'handling', 'paused', 'reviewing')
        ), open as (
          select campaign_id, unit_id, count(*) as open, count(*) filter (where due <= $1) as late,
            count(*) filter (where due > $1 and due < $2) as soon
          from running group by 1, 2
        ), done as (
          select campaign_id, unit_id, count(*) as closed, count(*) filter (where not late) as on_time,
            avg(extract(epoch from closed_at - assigned_at) / 86400) as days,
            count(rating) as rated, count(*) filter (where rating = any($4::int[])) as dissatisfied
          from cases where closed_at >= $3 group by 1, 2
        )
        select u.campaign_id, u.unit_id, u.name, coalesce(o.open, 0) as open, coalesce(o.late, 0) as late, coalesce(o.soon, 0) as soon,
          coalesce(d.closed, 0) as closed, coalesce(d.on_time, 0) as on_time, d.days, coalesce(d.rated, 0) as rated,
          coalesce(d.dissatisfied, 0) as dissatisfied
        from units u left join open o using (campaign_id, unit_id) left join done d using (campaign_id, unit_id)
        where o.open is not null or d.closed is not null
        order by late desc, soon desc, open desc, u.name
        """,
        tx.now,
        soon_before,
        since,
        list(dissatisfied),
    )


async def board_counts(
    tx: Transaction, *, soon_before: datetime, unsigned_since: datetime, dissatisfied: Sequence[int]
) -> Any:
    """What the supervisor's tiles count, in one pass: late, soon, returned, unsigned, dissatisfied."""
    return await tx.fetchrow(
        """
        select count(*) filter (where d.due <= $1) as late, count(*) filter (where d.due > $1 and d.due < $2) as soon,
          count(*) filter (where c.returns > 0 and c.state = 'pending') as returned,
          count(*) filter (where c.state = 'assigned' and c.assigned_at <= $3) as unsigned,
          (select count(*) from cases where rating is not null and rating = any($4::int[])) as dissatisfied
        from cases c left join lateral (
          select min(due_at) as due from deadlines d where d.case_id = c.id and d.state in ('running', 'lapsed')
        ) d on true
        where c.state in ('pending', 'assigned', 'handling', 'paused', 'reviewing')
        """,
        tx.now,
        soon_before,
        unsigned_since,
        list(dissatisfied),
    )


async def open_counts(tx: Transaction) -> list[Any]:
    """Open cases by stage and by how their first deadline stands, for the gauge."""
    return await tx.fetch(
        """
        select c.state, case when c.state = 'paused' then 'paused' when d.severe_at <= $1 then 'severe' when d.due_at <= $1 then 'late'
                             when d.warn_at <= $1 then 'warning' else 'normal' end as deadline_status, count(*) as n
        from cases c left join lateral (
          select due_at, warn_at, severe_at from deadlines d
          where d.case_id = c.id and d.state in ('running', 'lapsed') order by due_at limit 1
        ) d on true
        where c.state in ('pending', 'assigned', 'handling', 'paused', 'reviewing') group by 1, 2
        """,
        tx.now,
    )
