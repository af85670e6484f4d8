"""Lists and counts of cases, most urgent first."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.states import (
    OPEN_STATES,
    TRANSITIONS,
    UNIT_ROLES,
    CaseAction,
    CaseState,
    shown_repeats,
    shown_summary,
)
from services.casework.store import calendar, case_lists, context_of
from services.casework.store.case_lists import CaseFilter, CaseListRow, CaseMatch, FirstDeadline
from services.casework.views.deadlines import due_soon, progress
from shared.appraisal.calendar.deadlines import DeadlineProgress, due_for_units, due_label
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseListItem:
    """A case in a list."""

    number: str
    kind: ComplaintKind
    urgency: Urgency
    state: CaseState
    redacted_summary: str
    released: bool
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    version: int
    received_on: date
    closed_at: datetime | None
    repeats: int
    returns: int
    urges: int
    stage: str | None
    progress: DeadlineProgress | None
    due_at: datetime | None
    due_text: str

    @property
    def deadline_status(self) -> str | None:
        """The status of the first deadline, as the API names it."""
        return self.progress.status.value if self.progress else None

    @property
    def may_be_urged(self) -> bool:
        """Whether the state allows 催办."""
        return CaseAction.URGE in TRANSITIONS[self.state]

    @property
    def may_be_struck_off(self) -> bool:
        """Whether the state allows 销号."""
        return CaseAction.STRIKE_OFF in TRANSITIONS[self.state]

    @property
    def badge(self) -> str | None:
        """The badge of the first deadline in one line of text."""
        return self.progress.badge if self.progress else None


@dataclass(frozen=True, slots=True)
class CaseListPage:
    """One page of a list. `total` counts the cases of all pages, `page` counts from 1."""

    items: list[CaseListItem]
    total: int
    page: int
    last_page: int


async def list_cases(
    tx: Transaction,
    user: Account,
    wanted: CaseFilter,
    *,
    page: int = 1,
    size: int | None = None,
) -> CaseListPage:
    """Return one page of the cases that this person may see and asked for."""
    days = await calendar.current(tx)
    rows_per_page = size or context_of(tx).page_rows
    rows, total = await case_lists.page(
        tx, user, wanted, await due_soon(tx), rows=rows_per_page, page=page
    )
    items = [_item(row, days, tx.now, user) for row in rows]
    await audit_listed_reports(tx, user, ((item.kind, item.number) for item in items))
    return CaseListPage(items, total, page, last_page=max(1, -(-total // rows_per_page)))


def _item(
    row: CaseListRow,
    days: WorkCalendar,
    now: datetime,
    user: Account,
) -> CaseListItem:
    deadline = row.deadline
    due_at = _due_at(deadline, exact=user.role not in UNIT_ROLES)
    return CaseListItem(
        number=row.number,
        kind=ComplaintKind(row.kind),
        urgency=Urgency(row.urgency),
        state=CaseState(row.state),
        redacted_summary=shown_summary(row.redacted_summary, row.released_at),
        released=row.released_at is not None,
        unit_id=row.unit_id,
        unit_name=row.unit_name,
        handler_name=row.handler_name,
        version=row.version,
        received_on=row.received_on,
        closed_at=row.closed_at,
        repeats=shown_repeats(row.repeats, ComplaintKind(row.kind), user.role),
        returns=row.returns,
        urges=row.urges,
        stage=DeadlineKind(deadline.kind).label if deadline else None,
        progress=progress(deadline, days, now) if deadline else None,
        due_at=due_at,
        due_text=due_label(due_at, deadline.provisional) if deadline and due_at else "",
    )


def _due_at(deadline: FirstDeadline | None, *, exact: bool) -> datetime | None:
    """The due time of the first deadline; not `exact` as a unit may know it."""
    if deadline is None:
        return None
    return deadline.due_at if exact else due_for_units(deadline.due_at)


@dataclass(frozen=True, slots=True)
class CaseCounts:
    """How many cases a person may see, by state, and how many are unreleased, late or due soon."""

    by_state: Counter[str]
    unreleased: int
    late: int
    soon: int

    def in_states(self, *states: CaseState) -> int:
        """Return how many cases are in these states."""
        return sum(self.by_state[state] for state in states)


async def count_cases(tx: Transaction, user: Account) -> CaseCounts:
    """Count the cases that this person may see."""
    soon_before = (await due_soon(tx)).soon_before
    counts = await case_lists.count_by_state(tx, user, soon_before=soon_before)
    return CaseCounts(
        by_state=Counter({count.state: count.cases for count in counts}),
        unreleased=sum(count.unreleased for count in counts if count.state in OPEN_STATES),
        late=sum(count.late for count in counts),
        soon=sum(count.soon for count in counts),
    )


async def search_cases(
    tx: Transaction,
    user: Account,
    q: str,
) -> list[CaseMatch]:
    """Return cases for the command palette."""
    text = q.strip()
    matches = await case_lists.search(tx, user, text) if text else []
    await audit_listed_reports(tx, user, ((match.kind, match.number) for match in matches))
    return matches
