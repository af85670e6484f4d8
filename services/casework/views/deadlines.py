"""Deadlines as pages and API show them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.deadlines import (
    ACTIVE_STATES,
    DeadlineKind,
    DeadlineState,
    DeadlineTerms,
)
from services.casework.store import calendar, campaigns, deadlines
from services.casework.store.case_lists import DueSoon
from services.casework.store.deadlines import DeadlineFilter, DeadlineListRow
from services.casework.tables import Deadline
from shared.appraisal.calendar.deadlines import (
    DeadlineProgress,
    closed_progress,
    deadline_progress,
    due_for_units,
    due_label,
)
from shared.appraisal.calendar.working_days import ONE_DAY, WorkCalendar, civil_day, midnight
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.storage.transaction import Transaction


class StoredDeadline(Protocol):
    """What `progress` reads of a stored deadline."""

    @property
    def state(self) -> str: ...
    @property
    def due_at(self) -> datetime: ...
    @property
    def warn_at(self) -> datetime: ...
    @property
    def severe_at(self) -> datetime: ...
    @property
    def lapsed_at(self) -> datetime | None: ...
    @property
    def terms(self) -> str: ...


def progress(
    deadline: StoredDeadline,
    days: WorkCalendar,
    now: datetime,
) -> DeadlineProgress:
    """Return how a deadline stands at `now`."""
    if deadline.state not in ACTIVE_STATES:
        # The published lapse decides: an end at the very moment of the lapse is late everywhere.
        return closed_progress(late=deadline.lapsed_at is not None)
    return deadline_progress(
        now,
        due_at=deadline.due_at,
        warn_at=deadline.warn_at,
        severe_at=deadline.severe_at,
        calendar=days,
        unit=DeadlineTerms.from_json(deadline.terms).limit.unit,
        paused=deadline.state == DeadlineState.PAUSED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineDetails:
    """A deadline of a case, with its progress and the rule that it rests on."""

    id: UUID
    kind: str
    label: str
    state: str
    starts_at: datetime
    due_at: datetime
    provisional: bool
    progress: DeadlineProgress
    due_text: str
    terms: str
    rule_id: str
    rule_label: str
    rule_source: str
    scheme_version: str
    calendar_version: str
    lapsed_at: datetime | None
    ended_at: datetime | None

    @property
    def is_active(self) -> bool:
        """The deadline still binds somebody."""
        return self.state in ACTIVE_STATES

    @property
    def deadline_status(self) -> str:
        """The status as the API names it."""
        return self.progress.status.value

    @property
    def badge(self) -> str:
        """The badge in one line of text."""
        return self.progress.badge


def deadline_details(
    row: Deadline,
    campaign: CampaignRules,
    days: WorkCalendar,
    now: datetime,
    *,
    exact: bool = True,
) -> DeadlineDetails:
    """Return a deadline with its progress at `now`; not `exact` as a unit may know its due time."""
    rule = campaign.scheme.rule(row.rule_id)
    due_at = row.due_at if exact else due_for_units(row.due_at)
    return DeadlineDetails(
        id=row.id,
        kind=row.kind,
        label=DeadlineKind(row.kind).label,
        state=row.state,
        starts_at=row.starts_at,
        due_at=due_at,
        provisional=row.provisional,
        progress=progress(row, days, now),
        due_text=due_label(due_at, row.provisional),
        terms=DeadlineTerms.from_json(row.terms).text,
        rule_id=row.rule_id,
        rule_label=rule.label if rule else "",
        rule_source=rule.source if rule else "",
        scheme_version=row.scheme_version,
        calendar_version=row.calendar_version,
        lapsed_at=row.lapsed_at,
        ended_at=row.ended_at,
    )


async def list_deadlines(
    tx: Transaction,
    user: Account,
    wanted: DeadlineFilter,
    *,
    limit: int,
) -> list[DeadlineListRow]:
    """Return the deadlines of cases and obligations that this person may see, in order of time."""
    found = await deadlines.find(tx, user, wanted, limit=limit)
    await audit_listed_reports(tx, user, ((each.matter, each.number) for each in found))
    return found


async def due_soon(tx: Transaction) -> DueSoon:
    """Return what lists compare with at this moment.

    今明到期 is due before the end of the next working day; 不满意 is any rating that some campaign
    means by it.
    """
    days = await calendar.current(tx)
    next_working_day = days.add_working_days(civil_day(tx.now), 1).day
    soon_before = midnight(next_working_day + ONE_DAY)
    return DueSoon(soon_before, await _dissatisfied_options(tx))


async def _dissatisfied_options(tx: Transaction) -> list[int]:
    all_campaigns = await campaigns.find_all(tx)
    options = [option for each in all_campaigns.values() for option in each.scheme.options]
    return sorted({option.no for option in options if option.code == "dissatisfied"})
