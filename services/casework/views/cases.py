"""One case as a person may see it.

The read model is built from an allow-list for each kind of reader: what a reader may not see is not
in it, so no page or API can show it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from services.casework.domain.assignment import returnable_until
from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.deadlines import DeadlineKind, DeadlineState
from services.casework.domain.states import (
    ACTION_LABELS,
    UNIT_ROLES,
    UNVERSIONED_ACTIONS,
    CaseAction,
    CaseState,
    shown_repeats,
    shown_summary,
)
from services.casework.store import calendar, campaigns, cases, context_of, deadlines
from services.casework.store.cases import CaseRow, HistoryRow
from services.casework.tables import Case, Deadline, Extension, Submission, Suspension
from services.casework.views.deadlines import DeadlineDetails, deadline_details
from services.casework.views.offered_actions import OfferedActions
from shared.appraisal.calendar.deadlines import due_for_units
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import (
    CaseFinding,
    CaseSource,
    ComplaintChannel,
    ComplaintKind,
    Role,
    Urgency,
)
from shared.security.policies import Account
from shared.storage.organisations import known_register
from shared.storage.transaction import Transaction

SEES_EXACT_TIME: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Roles that may know the minute in which a complaint arrived (可见性 2.8); others see the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginDetails:
    """What a case was opened from. Units never see this."""

    source: CaseSource
    source_number: str
    channel: ComplaintChannel | None
    real_name: bool
    named_unit_id: str | None
    named_unit_name: str | None
    received_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccusedDetails:
    """Whom a 举报 accuses, and which bodies it excludes. Units never see this.

    `is_recorded`: a person recorded the accused, or that none can be named. `mentioned`: the names
    of bodies in the redacted summary that the case does not exclude; one may be an accused.
    """

    names: list[str]
    mentioned: list[str]
    excluded_unit_ids: frozenset[str]
    is_recorded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntryDetails:
    """An action in the history of a case. `details` are codes and dates."""

    at: datetime
    action: str
    label: str
    state: str
    by: str
    unit_name: str | None
    text: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDetails:
    """A case as one person may see it. `actions` are what this person can do now."""

    id: UUID
    number: str
    campaign: CampaignRules
    kind: ComplaintKind
    urgency: Urgency
    state: CaseState
    version: int
    redacted_summary: str
    released: bool
    problem_item: str | None
    problem_label: str | None
    unit_id: str | None
    unit_name: str | None
    handler_id: UUID | None
    handler_name: str | None
    accused: AccusedDetails | None
    received_on: date
    opened_at: datetime
    assigned_at: datetime | None
    accepted_at: datetime | None
    closed_at: datetime | None
    finding: CaseFinding | None
    late: bool
    returns: int
    repeats: int
    urges: int
    rating: int | None
    origin: OriginDetails | None
    deadlines: list[DeadlineDetails]
    history: list[HistoryEntryDetails]
    submissions: list[Submission]
    extensions: list[Extension]
    suspensions: list[Suspension]
    returnable_until: datetime | None
    actions: list[CaseAction]

    @property
    def campaign_id(self) -> str:
        """The campaign that the case belongs to."""
        return self.campaign.id

    @property
    def excluded_unit_ids(self) -> frozenset[str]:
        """The bodies that may neither handle nor see the case, as far as this person may know."""
        return self.accused.excluded_unit_ids if self.accused else frozenset()

    @property
    def awaits_accused(self) -> bool:
        """A person still has to record whom the case accuses, before it can be assigned."""
        return self.accused is not None and not self.accused.is_recorded

    def active(self, kind: DeadlineKind) -> DeadlineDetails | None:
        """Return the active deadline of that kind; None if there is none."""
        return next((each for each in self.deadlines if each.kind == kind and each.is_active), None)

    @property
    def last_handling(self) -> DeadlineDetails | None:
        """The handling deadline that started last, in any state."""
        return self._handling[-1] if self._handling else None

    @property
    def _handling(self) -> list[DeadlineDetails]:
        return [each for each in self.deadlines if each.kind == DeadlineKind.HANDLE]

    @property
    def first_deadline(self) -> DeadlineDetails | None:
        """The active deadline due first; of a closed case, how its handling ended."""
        active = [each for each in self.deadlines if each.is_active]
        if active:
            return min(active, key=lambda each: each.due_at)
        completed = [each for each in self._handling if each.state == DeadlineState.COMPLETED]
        return completed[-1] if completed else None

    @property
    def extension_request(self) -> Extension | None:
        """The extension that awaits a decision."""
        return cases.open_request(self.extensions)

    def latest(self, action: CaseAction) -> HistoryEntryDetails | None:
        """Return the newest entry of that action; None if nobody took it."""
        return next((entry for entry in self.history if entry.action == action), None)

    def changes_since(self, version: int) -> list[HistoryEntryDetails]:
        """Return the entries after a version: every versioned action counts one."""
        count = max(self.version - version, 0)
        versioned = [entry for entry in self.history if entry.action not in UNVERSIONED_ACTIONS]
        return versioned[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedCase:
    """The rows of a case, before anything is hidden from a reader."""

    row: CaseRow
    campaign: CampaignRules
    days: WorkCalendar
    deadlines: list[Deadline]
    history: list[HistoryRow]
    submissions: list[Submission]
    extensions: list[Extension]
    suspensions: list[Suspension]
    accused: AccusedDetails | None


async def case_details(
    tx: Transaction,
    number: str,
    user: Account,
) -> CaseDetails:
    """Return a case. Raises Rejected (404) if this person may not find it.

    Reading is recorded in the audit log.
    """
    row = await cases.get(tx, number, user)
    if row is None:
        raise Rejected("没有找到这个办件", status=404)
    case = row.case
    tx.audit("case.read", case.number, str(user.id))
    loaded = _LoadedCase(
        row=row,
        campaign=await campaigns.get(tx, case.campaign_id),
        days=await calendar.current(tx),
        deadlines=await deadlines.of_case(tx, case.id),
        history=await cases.history(tx, case),
        submissions=await cases.submissions(tx, case.id),
        extensions=await cases.extensions(tx, case.id),
        suspensions=await cases.suspensions(tx, case.id),
        accused=await _accused(tx, case, user),
    )
    return _details(loaded, user, tx.now)


async def _accused(
    tx: Transaction,
    case: Case,
    user: Account,
) -> AccusedDetails | None:
    """Whom the case accuses; None for a unit, and for a case of a kind that accuses nobody."""
    rules = (await campaigns.get(tx, case.campaign_id)).case_rules
    if user.role in UNIT_ROLES or not rules.excludes_accused(ComplaintKind(case.kind)):
        return None
    register = await known_register(tx, context_of(tx).organisations)
    mentioned = register.mentioned_in(case.redacted_summary)
    return AccusedDetails(
        names=[register.name_of(id) for id in case.accused_unit_ids],
        mentioned=[each.name for each in mentioned if each.id not in case.excluded_unit_ids],
        excluded_unit_ids=frozenset(case.excluded_unit_ids),
        is_recorded=case.accused_record > 0,
    )


def _details(
    loaded: _LoadedCase,
    user: Account,
    now: datetime,
) -> CaseDetails:
    case = loaded.row.case
    campaign = loaded.campaign
    shown_deadlines = [
        deadline_details(row, campaign, loaded.days, now, exact=user.role not in UNIT_ROLES)
        for row in loaded.deadlines
    ]
    return CaseDetails(
        id=case.id,
        number=case.number,
        campaign=campaign,
        kind=ComplaintKind(case.kind),
        urgency=Urgency(case.urgency),
        state=CaseState(case.state),
        version=case.version,
        redacted_summary=shown_summary(case.redacted_summary, case.released_at),
        released=case.released_at is not None,
        problem_item=case.problem_item,
        problem_label=campaign.problem_label(case.problem_item),
        unit_id=case.unit_id,
        unit_name=loaded.row.unit_name,
        handler_id=case.handler_id,
        handler_name=case.handler_name,
        accused=loaded.accused,
        received_on=case.received_on,
        opened_at=case.opened_at,
        assigned_at=case.assigned_at,
        accepted_at=case.accepted_at,
        closed_at=case.closed_at,
        finding=CaseFinding(case.finding) if case.finding else None,
        late=case.late,
        returns=case.returns,
        repeats=shown_repeats(case.repeats, ComplaintKind(case.kind), user.role),
        urges=case.urges,
        rating=case.rating,
        origin=_origin(loaded.row, user),
        deadlines=shown_deadlines,
        history=_history(loaded.history, case, user),
        submissions=_visible_submissions(loaded.submissions, case, user),
        extensions=loaded.extensions,
        suspensions=loaded.suspensions,
        returnable_until=_shown_return_limit(loaded, user),
        actions=_offered_actions(loaded, shown_deadlines, user, now),
    )


def _offered_actions(
    loaded: _LoadedCase,
    shown_deadlines: list[DeadlineDetails],
    user: Account,
    now: datetime,
) -> list[CaseAction]:
    case = loaded.row.case
    offered = OfferedActions(
        case=case,
        campaign=loaded.campaign,
        user=user,
        extensions=loaded.extensions,
        deadlines=shown_deadlines,
        returnable_until=_return_limit(case, loaded.campaign, loaded.days),
        now=now,
    )
    return offered.actions()


def _return_limit(
    case: Case,
    campaign: CampaignRules,
    days: WorkCalendar,
) -> datetime | None:
    if case.assigned_at is None:
        return None
    return returnable_until(case.assigned_at, campaign.case_rules, days)


def _shown_return_limit(loaded: _LoadedCase, user: Account) -> datetime | None:
    limit = _return_limit(loaded.row.case, loaded.campaign, loaded.days)
    return due_for_units(limit) if limit and user.role in UNIT_ROLES else limit


def _origin(row: CaseRow, user: Account) -> OriginDetails | None:
    if user.role in UNIT_ROLES:
        return None
    case = row.case
    return OriginDetails(
        source=CaseSource(case.source),
        source_number=case.source_number,
        channel=ComplaintChannel(case.channel) if case.channel else None,
        real_name=case.real_name,
        named_unit_id=case.named_unit_id,
        named_unit_name=row.named_unit_name,
        received_at=case.received_at if user.role in SEES_EXACT_TIME else None,
    )


def _history(
    rows: list[HistoryRow],
    case: Case,
    user: Account,
) -> list[HistoryEntryDetails]:
    """The history. A unit does not read what another unit did or wrote before it."""
    if user.role in UNIT_ROLES:
        rows = [row for row in rows if row.entry.unit_id == case.unit_id]
    return [_history_entry(row) for row in rows]


def _history_entry(row: HistoryRow) -> HistoryEntryDetails:
    entry = row.entry
    return HistoryEntryDetails(
        at=entry.at,
        action=entry.action,
        label=ACTION_LABELS[entry.action],
        state=entry.state,
        by=entry.by_name,
        unit_name=row.unit_name,
        text=entry.text,
        details=entry.details,
    )


def _visible_submissions(
    submissions: list[Submission],
    case: Case,
    user: Account,
) -> list[Submission]:
    """The results. A unit does not read those of a unit that had the case before it."""
    if user.role not in UNIT_ROLES:
        return submissions
    if case.assigned_at is None:
        return []
    return [each for each in submissions if each.at >= case.assigned_at]
