"""立案: what a case is opened from, and the rows and events of a new case."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from services.casework.domain.assignment import (
    URGENCY_BY_SEVERITY,
    directly_assigned_unit,
    named_accused,
)
from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.deadlines import DeadlineFields, DeadlineKind, new_case_deadline
from services.casework.domain.states import OPENED, CaseAction, CaseState
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day
from shared.appraisal.events import (
    CaseAssigned,
    CaseOpened,
    CaseUnitsExcluded,
    ComplaintRegistered,
    DeadlineSet,
    FindingRegistered,
)
from shared.appraisal.labels import CaseSource, ComplaintChannel, ComplaintKind, Urgency

SYSTEM_NAME: Final = "系统"
SYSTEM_ROLE: Final = "system"
DIRECT_ASSIGNMENT: Final = "按来件所指单位直接分办"


class CaseOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """What a case is opened from. `registered_at` is the instant from which deadlines count,
    `received_on` the day that pages show. `redacted_summary` is None until a person released it.
    """

    source: CaseSource
    source_id: UUID
    source_number: str
    campaign_id: str
    channel: ComplaintChannel | None
    kind: ComplaintKind
    urgency: Urgency
    problem_item: str | None
    redacted_summary: str | None
    real_name: bool
    named_unit_id: str | None
    received_at: datetime
    received_on: date
    registered_at: datetime

    @property
    def source_key(self) -> tuple[CaseSource, UUID]:
        """A complaint or finding has one case for ever; this identifies it."""
        return self.source, self.source_id

    @property
    def is_released(self) -> bool:
        """A person released the redacted summary."""
        return self.redacted_summary is not None


def origin_of_complaint(event: ComplaintRegistered, redacted_summary: str | None) -> CaseOrigin:
    """Return the origin of a complaint's case; `redacted_summary` None: it awaits its release."""
    return CaseOrigin(
        source=CaseSource.COMPLAINT,
        source_id=event.complaint_id,
        source_number=event.number,
        campaign_id=event.campaign_id,
        channel=event.channel,
        kind=event.kind,
        urgency=event.urgency,
        problem_item=event.problem_item,
        redacted_summary=redacted_summary,
        real_name=event.real_name,
        named_unit_id=event.unit_id,
        received_at=event.received_at,
        received_on=civil_day(event.received_at),
        registered_at=event.occurred_at,
    )


def origin_of_finding(event: FindingRegistered, campaign: CampaignRules) -> CaseOrigin:
    """Return the origin of a finding's case; its text awaits the release."""
    return CaseOrigin(
        source=CaseSource.VISIT,
        source_id=event.finding_id,
        source_number=event.number,
        campaign_id=event.campaign_id,
        channel=None,
        kind=ComplaintKind.FINDING,
        urgency=URGENCY_BY_SEVERITY[event.severity],
        problem_item=campaign.problem_of_check(event.item_id),
        redacted_summary=None,
        real_name=False,
        named_unit_id=event.unit_id,
        received_at=event.occurred_at,
        received_on=civil_day(event.occurred_at),
        registered_at=event.occurred_at,
    )


# ── a new case ────────────────────────────────────────────────────────────────────────────────────


class CaseFields(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a new row of `cases`."""

    id: UUID
    number: str
    campaign_id: str
    source: CaseSource
    source_id: UUID
    source_number: str
    channel: ComplaintChannel | None
    kind: ComplaintKind
    urgency: Urgency
    problem_item: str | None
    redacted_summary: str
    released_at: datetime | None
    real_name: bool
    named_unit_id: str | None
    accused_unit_ids: tuple[str, ...]
    accused_record: int = 0
    excluded_unit_ids: tuple[str, ...]
    unit_id: str | None
    state: CaseState
    version: int = 1
    received_at: datetime
    received_on: date
    opened_at: datetime
    assigned_at: datetime | None
    late: bool = False
    returns: int = 0
    repeats: int = 0
    urges: int = 0


class HistoryFields(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a new row of `case_history`."""

    case_id: UUID
    at: datetime
    action: str
    state: CaseState
    unit_id: str | None
    by_name: str = SYSTEM_NAME
    by_role: str = SYSTEM_ROLE
    text: str = ""
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class NewCase:
    """The rows of a new case and the events that announce it."""

    case: CaseFields
    history: list[HistoryFields]
    deadlines: list[DeadlineFields]
    events: list[CaseOpened | CaseUnitsExcluded | CaseAssigned]


def build_case(
    origin: CaseOrigin,
    campaign: CampaignRules,
    calendar: WorkCalendar,
    *,
    number: str,
    now: datetime,
    new_id: Callable[[], UUID],
    excluded: Collection[str] = (),
) -> NewCase:
    """Build a new case: assigned at once if the scheme says so, else pending for a reviewer."""
    case = _case_fields(
        origin,
        campaign,
        number=number,
        now=now,
        id=new_id(),
        excluded=excluded,
    )
    deadlines = [
        new_case_deadline(
            rule,
            start,
            id=new_id(),
            case_id=case.id,
            unit_id=case.unit_id,
            scheme_version=campaign.scheme_version,
            calendar=calendar,
        )
        for kind, start in _first_deadlines(case, origin, now)
        if (rule := campaign.case_rules.limit(kind, case.kind, case.urgency))
    ]
    return NewCase(case, _first_history(case, now), deadlines, _events(case, deadlines, now))


def _case_fields(
    origin: CaseOrigin,
    campaign: CampaignRules,
    *,
    number: str,
    now: datetime,
    id: UUID,
    excluded: Collection[str],
) -> CaseFields:
    unit_id = _first_unit(origin, campaign)
    return CaseFields(
        id=id,
        number=number,
        campaign_id=origin.campaign_id,
        source=origin.source,
        source_id=origin.source_id,
        source_number=origin.source_number,
        channel=origin.channel,
        kind=origin.kind,
        urgency=origin.urgency,
        problem_item=origin.problem_item,
        redacted_summary=origin.redacted_summary or "",
        released_at=now if origin.is_released else None,
        real_name=origin.real_name,
        named_unit_id=origin.named_unit_id,
        accused_unit_ids=named_accused(origin.kind, origin.named_unit_id, campaign.case_rules),
        excluded_unit_ids=tuple(sorted(excluded)),
        unit_id=unit_id,
        state=CaseState.ASSIGNED if unit_id else CaseState.PENDING,
        received_at=origin.received_at,
        received_on=origin.received_on,
        opened_at=now,
        assigned_at=now if unit_id else None,
    )


def _first_unit(origin: CaseOrigin, campaign: CampaignRules) -> str | None:
    """The unit that gets the new case at once. Before the release that is no unit."""
    if not origin.is_released:
        return None
    return directly_assigned_unit(origin.kind, origin.named_unit_id, campaign.case_rules)


def _first_deadlines(
    case: CaseFields,
    origin: CaseOrigin,
    now: datetime,
) -> list[tuple[DeadlineKind, datetime]]:
    """The first deadlines and their starts.

    A unit's deadlines start when it gets the case; the reviewers' start when the matter was
    registered, however late the event arrived.
    """
    if case.unit_id:
        return [(DeadlineKind.ACCEPT, now), (DeadlineKind.HANDLE, now)]
    assign = (DeadlineKind.ASSIGN, origin.registered_at)
    if origin.is_released:
        return [assign]
    return [(DeadlineKind.RELEASE, origin.registered_at), assign]


def _first_history(case: CaseFields, now: datetime) -> list[HistoryFields]:
    opened = HistoryFields(
        case_id=case.id,
        at=now,
        action=OPENED,
        state=CaseState.PENDING,
        unit_id=None,
    )
    if case.unit_id is None:
        return [opened]
    assigned = HistoryFields(
        case_id=case.id,
        at=now,
        action=CaseAction.ASSIGN,
        state=CaseState.ASSIGNED,
        unit_id=case.unit_id,
        text=DIRECT_ASSIGNMENT,
    )
    return [opened, assigned]


def _events(
    case: CaseFields,
    deadlines: list[DeadlineFields],
    now: datetime,
) -> list[CaseOpened | CaseUnitsExcluded | CaseAssigned]:
    sets = tuple(
        DeadlineSet(
            kind=deadline.kind,
            due_at=deadline.due_at,
            warn_at=deadline.warn_at,
            provisional=deadline.provisional,
        )
        for deadline in deadlines
    )
    opened = CaseOpened(
        occurred_at=now,
        case_id=case.id,
        number=case.number,
        campaign_id=case.campaign_id,
        unit_id=None,
        source=case.source,
        source_id=case.source_id,
        kind=case.kind,
        urgency=case.urgency,
        problem_item=case.problem_item,
        deadlines=() if case.unit_id else sets,
    )
    if case.excluded_unit_ids:
        return [opened, _units_excluded(case, now)]
    if case.unit_id is None:
        return [opened]
    assigned = CaseAssigned(
        occurred_at=now,
        case_id=case.id,
        number=case.number,
        campaign_id=case.campaign_id,
        unit_id=case.unit_id,
        deadlines=sets,
    )
    return [opened, assigned]


def _units_excluded(case: CaseFields, now: datetime) -> CaseUnitsExcluded:
    return CaseUnitsExcluded(
        occurred_at=now,
        case_id=case.id,
        number=case.number,
        campaign_id=case.campaign_id,
        unit_id=None,
        excluded_unit_ids=case.excluded_unit_ids,
    )
