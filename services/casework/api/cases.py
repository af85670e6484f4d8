"""Cases: the list, and one case whole."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from services.casework.api.routing import READERS, CaseworkResponse, Number, api_router
from services.casework.domain.states import CaseAction, CaseState
from services.casework.store.case_lists import CaseFilter
from services.casework.views.case_lists import list_cases
from services.casework.views.cases import case_details
from shared.appraisal.labels import CaseSource, ComplaintKind, Urgency
from shared.web import CurrentUser, Tx
from shared.web.day_precision import in_days, sees_minutes

router = api_router()


class CaseListItemResponse(CaseworkResponse):
    """A case in a list; `deadline_status` and `due_at` are those of its first deadline."""

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
    deadline_status: str | None
    badge: str | None
    due_at: datetime | None


class CaseListResponse(BaseModel):
    """`page` counts from 1."""

    cases: list[CaseListItemResponse]
    total: int
    page: int
    pages: int


class DeadlineResponse(CaseworkResponse):
    """A deadline. `deadline_status` is normal, warning, late, severe, paused or closed."""

    kind: str
    label: str
    state: str
    starts_at: datetime
    due_at: datetime
    provisional: bool
    deadline_status: str
    badge: str
    terms: str
    rule_id: str
    scheme_version: str
    calendar_version: str
    lapsed_at: datetime | None
    ended_at: datetime | None


class HistoryEntryResponse(CaseworkResponse):
    """An action in the history of a case."""

    at: datetime
    action: str
    state: str
    by: str
    unit_name: str | None
    text: str


class SubmissionResponse(CaseworkResponse):
    """A result submitted for review."""

    no: int
    at: datetime
    by: str = Field(validation_alias="by_name")
    account: str
    finding: str
    measures: str
    reply: str
    late: bool
    decision: str | None
    opinion: str | None


class OriginResponse(CaseworkResponse):
    """What the case was opened from; never sent to a unit."""

    source: str
    source_number: str
    channel: str | None
    real_name: bool
    named_unit_id: str | None
    received_at: datetime | None


class CaseResponse(CaseworkResponse):
    """A case as this person may see it; history and results are newest first.

    For a unit `id` is None and every instant is its day. Send `version` back as `expected_version`
    with a write: 409 if the case changed meanwhile.
    """

    id: UUID | None
    number: str
    campaign_id: str
    kind: ComplaintKind
    urgency: Urgency
    state: CaseState
    version: int
    redacted_summary: str
    released: bool
    problem_item: str | None
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    received_on: date
    opened_at: datetime
    assigned_at: datetime | None
    accepted_at: datetime | None
    closed_at: datetime | None
    finding: str | None
    late: bool
    returns: int
    repeats: int
    urges: int
    origin: OriginResponse | None
    deadlines: list[DeadlineResponse]
    history: list[HistoryEntryResponse]
    results: list[SubmissionResponse] = Field(validation_alias="submissions")
    actions: list[CaseAction]


@router.get("/cases", policy=READERS, response_model=CaseListResponse)
async def get_cases(
    tx: Tx,
    user: CurrentUser,
    state: Annotated[list[CaseState] | None, Query()] = None,
    unit: str | None = None,
    campaign: str | None = None,
    kind: ComplaintKind | None = None,
    source: CaseSource | None = None,
    deadline_status: Literal["late", "soon"] | None = None,
    q: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CaseListResponse:
    """办件列表, most urgent first."""
    wanted = CaseFilter(
        states=tuple(state or ()),
        unit_id=unit,
        campaign_id=campaign,
        kind=kind,
        source=source,
        deadline_status=deadline_status,
        q=q.strip(),
    )
    found = await list_cases(tx, user, wanted, page=page, size=size)
    items = [in_days(CaseListItemResponse.model_validate(item), user) for item in found.items]
    return CaseListResponse(
        cases=items,
        total=found.total,
        page=page,
        pages=found.last_page,
    )


@router.get("/cases/{number}", policy=READERS, response_model=CaseResponse)
async def get_case(
    tx: Tx,
    user: CurrentUser,
    number: Number,
) -> CaseResponse:
    """办件详情."""
    details = CaseResponse.model_validate(await case_details(tx, number, user))
    if sees_minutes(user):
        return details
    # The id of a case contains the millisecond in which it was opened.
    return in_days(details, user).model_copy(update={"id": None})
