"""Lists, counts and searches of cases as a person may see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from services.casework.domain.states import OPEN_STATES
from services.casework.store.campaigns import UnitChoice
from services.casework.store.scope import IS_OPEN, VISIBLE, CaseScope
from shared.security.policies import Account
from shared.storage.transaction import Transaction

SEARCH_ROWS: Final = 8
APPROVALS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """What a list is restricted to.

    `deadline_status` is `late` (超期) or `soon` (今明到期: due before `soon_before`).
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
    released_only: bool = False
    q: str = ""


@dataclass(frozen=True, slots=True)
class DueSoon:
    """The end of the next working day, and the ratings that mean 不满意."""

    soon_before: datetime
    dissatisfied: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDeadline:
    """The deadline that a list shows: the running one due first.

    A closed case shows how its handling ended.
    """

    kind: str
    state: str
    due_at: datetime
    warn_at: datetime
    severe_at: datetime
    provisional: bool
    terms: str
    lapsed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseListRow:
    """A case in a list."""

    number: str
    kind: str
    urgency: str
    state: str
    redacted_summary: str
    released_at: datetime | None
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    version: int
    received_on: date
    closed_at: datetime | None
    returns: int
    repeats: int
    urges: int
    deadline: FirstDeadline | None


_CASE_COLUMNS: Final = """
  c.number, c.kind, c.urgency, c.state, c.redacted_summary, c.released_at, c.unit_id,
  u.name as unit_name, c.handler_name, c.version, c.received_on, c.closed_at, c.returns,
  c.repeats, c.urges
"""
_DEADLINE_COLUMNS: Final = """
  d.kind as deadline_kind, d.state as deadline_state, d.due_at, d.warn_at, d.severe_at,
  d.provisional, d.terms, d.lapsed_at
"""
_FROM_CASES: Final = f"""
from cases c
  left join units u on (u.campaign_id, u.unit_id) = (c.campaign_id, c.unit_id)
  left join lateral (
    select kind, due_at, warn_at, severe_at, provisional, terms, state, lapsed_at
    from deadlines d
    where d.case_id = c.id and (
      d.state in ('running', 'lapsed', 'paused') or (d.kind = 'handle' and d.state = 'completed')
    ) order by d.state = 'completed', d.due_at limit 1
  ) d on true
where {VISIBLE}
  and (cardinality($3::text[]) = 0 or c.state = any($3))
  and ($4::text is null or c.unit_id = $4)
  and ($5::text is null or c.campaign_id = $5)
  and ($6::text is null or c.kind = $6)
  and ($7::text is null or c.source = $7)
  and ($8::text is null
    or ($8 = 'late' and d.state in ('running', 'lapsed') and d.due_at <= $9)
    or ($8 = 'soon' and d.state = 'running' and d.due_at > $9 and d.due_at < $10))
  and ($11::uuid is null or c.handler_id = $11)
  and (not $12 or (c.rating is not null and c.rating = any($13::int[])))
  and (not $14 or (c.returns > 0 and c.state = 'pending'))
  and ($15::timestamptz is null or (c.state = 'assigned' and c.assigned_at <= $15))
  and ($16 = '' or c.number ilike '%' || $16 || '%' or c.redacted_summary ilike '%' || $16 || '%'
    or u.name ilike '%' || $16 || '%' or c.handler_name ilike '%' || $16 || '%')
  and (not $17 or c.released_at is not null)
"""
_MOST_URGENT_FIRST: Final = """
order by
  case
    when d.state is null or d.state = 'completed' then 4
    when d.state = 'paused' then 3
    when d.severe_at <= $9 then 0
    when d.due_at <= $9 then 1
    else 2
  end,
  case when d.state = 'completed' or d.state is null then null else d.due_at end,
  c.closed_at desc nulls last, c.number
limit $18 offset $19
"""
_LIST: Final = f"""
select count(*) over () as total, {_CASE_COLUMNS}, {_DEADLINE_COLUMNS}
{_FROM_CASES} {_MOST_URGENT_FIRST}
"""


def _arguments(
    scope: CaseScope,
    wanted: CaseFilter,
    now: datetime,
    due: DueSoon,
) -> list[Any]:
    # Only an open case can be late: without its states the query would visit every closed case.
    open_states = OPEN_STATES if wanted.deadline_status else ()
    return [
        *scope.arguments,
        list(wanted.states or open_states),
        wanted.unit_id,
        wanted.campaign_id,
        wanted.kind,
        wanted.source,
        wanted.deadline_status,
        now,
        due.soon_before,
        wanted.handler_id,
        wanted.dissatisfied,
        list(due.dissatisfied),
        wanted.returned,
        wanted.unsigned_since,
        _literal(wanted.q),
        wanted.released_only,
    ]


def _literal(text: str) -> str:
    """Escape a text so that `like` treats none of its characters as a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def page(
    tx: Transaction,
    user: Account,
    wanted: CaseFilter,
    due: DueSoon,
    *,
    rows: int,
    page: int,
) -> tuple[list[CaseListRow], int]:
    """Return one page of the cases this person may see, most urgent first, and the total."""
    arguments = _arguments(CaseScope.of(user), wanted, tx.now, due)
    records = await tx.fetch(_LIST, *arguments, rows, (page - 1) * rows)
    if records:
        return [_list_row(record) for record in records], records[0]["total"]
    if page == 1:
        return [], 0
    return [], await tx.fetchval(f"select count(*) {_FROM_CASES}", *arguments)


def _list_row(record: Any) -> CaseListRow:
    return CaseListRow(
        number=record["number"],
        kind=record["kind"],
        urgency=record["urgency"],
        state=record["state"],
        redacted_summary=record["redacted_summary"],
        released_at=record["released_at"],
        unit_id=record["unit_id"],
        unit_name=record["unit_name"],
        handler_name=record["handler_name"],
        version=record["version"],
        received_on=record["received_on"],
        closed_at=record["closed_at"],
        returns=record["returns"],
        repeats=record["repeats"],
        urges=record["urges"],
        deadline=_first_deadline(record),
    )


def _first_deadline(record: Any) -> FirstDeadline | None:
    if record["due_at"] is None:
        return None
    return FirstDeadline(
        kind=record["deadline_kind"],
        state=record["deadline_state"],
        due_at=record["due_at"],
        warn_at=record["warn_at"],
        severe_at=record["severe_at"],
        provisional=record["provisional"],
        terms=record["terms"],
        lapsed_at=record["lapsed_at"],
    )


# ── counts ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many cases are in a state, and how many of those are late, due soon or unreleased."""

    state: str
    cases: int
    unreleased: int
    late: int
    soon: int


async def count_by_state(
    tx: Transaction,
    user: Account,
    *,
    soon_before: datetime,
) -> list[StateCount]:
    """Count the cases this person may see. Only open cases are late or due soon."""
    records = await tx.fetch(
        f"""
        select c.state, count(*) as cases,
          count(*) filter (where c.released_at is null) as unreleased,
          count(*) filter (where d.due <= $3) as late,
          count(*) filter (where d.due > $3 and d.due < $4) as soon
        from cases c left join lateral (
          select min(due_at) as due from deadlines d
          where d.case_id = c.id and d.state in ('running', 'lapsed')
        ) d on {IS_OPEN}
        where {VISIBLE} group by c.state
        """,
        *CaseScope.of(user).arguments,
        tx.now,
        soon_before,
    )
    return [StateCount(**record) for record in records]


# ── searches ──────────────────────────────────────────────────────────────────────────────────────


async def numbers_with_extension_request(tx: Transaction, user: Account) -> list[str]:
    """Return the cases in which an extension awaits a decision, the one due first on top."""
    records = await tx.fetch(
        f"""
        select c.number from extensions e join cases c on c.id = e.case_id
          join deadlines d on d.case_id = c.id and d.kind = 'handle' and d.state = 'running'
        where e.state = 'requested' and {VISIBLE} order by d.due_at limit $3
        """,
        *CaseScope.of(user).arguments,
        APPROVALS_MAX,
    )
    return [record["number"] for record in records]


async def units_with_cases(tx: Transaction, user: Account) -> list[UnitChoice]:
    """Return the units that are responsible for a case this person may see."""
    records = await tx.fetch(
        f"""
        select u.unit_id, min(u.name) as name from units u
        where exists (
          select from cases c
          where c.unit_id = u.unit_id and c.campaign_id = u.campaign_id and {VISIBLE}
        ) group by u.unit_id order by min(u.unit_no)
        """,
        *CaseScope.of(user).arguments,
    )
    return [UnitChoice(**record) for record in records]


@dataclass(frozen=True, slots=True)
class CaseMatch:
    """A case found by a search. `redacted_summary` is empty until its release."""

    number: str
    kind: str
    redacted_summary: str
    state: str


async def search(
    tx: Transaction,
    user: Account,
    q: str,
) -> list[CaseMatch]:
    """Return the newest cases whose number or redacted summary contains `q`."""
    records = await tx.fetch(
        f"""
        select c.number, c.kind, c.redacted_summary, c.state from cases c
        where {VISIBLE}
          and (c.number ilike '%' || $3 || '%' or c.redacted_summary ilike '%' || $3 || '%')
        order by c.number desc limit $4
        """,
        *CaseScope.of(user).arguments,
        _literal(q),
        SEARCH_ROWS,
    )
    return [CaseMatch(**record) for record in records]
