"""Complaints in the JSON API."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from services.intake.actions import mergers, supplements
from services.intake.actions.complaints import Registration, register_complaints
from services.intake.api.problems import problems
from services.intake.domain.complaints import (
    COMPLAINT_TEXT_MAX,
    REASON_MIN,
    REDACTED_SUMMARY_MAX,
    WITHHOLD_MAX,
    NewComplaint,
)
from services.intake.domain.identities import Identity
from services.intake.domain.query_codes import CODE_DIGITS
from services.intake.store.complaint_lists import SimilarComplaint
from services.intake.views import complaints as views
from services.intake.views.progress import query_code_of
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.security.policies import Account, allow
from shared.web import CoalescedIdempotency, CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])
REVIEWER: Final = allow(Role.REVIEWER)
REGISTRARS: Final = allow(Role.OPERATOR, Role.REVIEWER, Role.OFFICE, Role.ADMIN)


class ComplaintRequest(Input):
    """A complaint to register.

    Without `redacted_summary`, one is drafted by masking personal data. Either waits for a reviewer
    to release it.
    """

    campaign_id: str = Field(max_length=100)
    channel: ComplaintChannel
    kind: ComplaintKind
    urgency: Urgency = Urgency.NORMAL
    urgency_reason: str = Field("", max_length=200)
    unit_id: str | None = Field(None, max_length=100)
    problem_item: str | None = Field(None, max_length=20)
    complaint_text: str = Field(max_length=COMPLAINT_TEXT_MAX)
    redacted_summary: str | None = Field(None, max_length=REDACTED_SUMMARY_MAX)
    identity: Identity = Identity.CONFIDENTIAL
    name: str = Field("", max_length=50)
    phone: str = Field("", max_length=30)
    address: str = Field("", max_length=200)
    place: str = Field("", max_length=200)
    occurred_at: str = Field("", max_length=100, description="什么时候发生的，原话或日期")
    withhold: str = Field("", max_length=WITHHOLD_MAX, description="来件人要求不转出的内容")
    retaliation_for: str = Field(
        "", max_length=20, description="因哪件诉求受到打击报复：原受理编号"
    )
    received_at: AwareDatetime | None = Field(
        None, description="补录时的收到时间，仅评议办和管理员可填"
    )

    def registration(self, *, by: Account) -> Registration:
        """Return the complaint to register on behalf of `by`."""
        fields = dict(self)
        complaint = NewComplaint(occurred=fields.pop("occurred_at"), **fields)
        return Registration(complaint=complaint, by=by)


class ComplaintResponse(Input):
    id: UUID
    number: str
    query_code: str = Field(pattern=rf"^\d{{{CODE_DIGITS}}}$")
    campaign_id: str
    unit_id: str | None
    redacted_summary: str
    received_at: datetime


@router.post(
    "/complaints",
    policy=REGISTRARS,
    status_code=201,
    response_model=ComplaintResponse,
    responses=problems(409),
)
async def register_complaint(
    request: Request,
    user: CurrentUser,
    idempotency: CoalescedIdempotency,
    given: ComplaintRequest,
) -> Response:
    """Register a complaint.

    The query code is derived for each response: it is not stored, not even for repetitions.
    """
    registered = await idempotency.run(register_complaints, given.registration(by=user))
    code = query_code_of(request.app.state.context.ring, UUID(registered.body["id"]))
    return registered.with_fields(query_code=code).response()


class SimilarComplaintResponse(Input):
    id: UUID
    number: str
    likeness: float
    kind: ComplaintKind
    redacted_summary: str
    received_at: datetime
    repeats: int
    closed: bool

    @classmethod
    def of(cls, complaint: SimilarComplaint) -> "SimilarComplaintResponse":
        return cls(
            id=complaint.id,
            number=complaint.number,
            likeness=complaint.likeness,
            kind=complaint.kind,
            redacted_summary=complaint.redacted_summary,
            received_at=complaint.received_at,
            repeats=complaint.repeats,
            closed=complaint.closed_at is not None,
        )


@router.get("/complaints/similar", policy=REGISTRARS, responses=problems())
async def similar_complaints(
    tx: Tx,
    user: CurrentUser,
    campaign_id: Annotated[str, Query(max_length=100)],
    unit_id: Annotated[str, Query(max_length=100)],
    redacted_summary: Annotated[str, Query(max_length=REDACTED_SUMMARY_MAX)],
) -> list[SimilarComplaintResponse]:
    """疑似重复: similar complaints about the same unit within seven days."""
    found = await views.similar_complaints(
        tx,
        campaign_id=campaign_id,
        unit_id=unit_id,
        redacted_summary=redacted_summary,
        account=user,
    )
    return [SimilarComplaintResponse.of(complaint) for complaint in found]


class MergeRequest(Input):
    into: str = Field(max_length=20)


class MergerResponse(Input):
    number: str
    merged_into: str | None


@router.post(
    "/complaints/{number}/merger",
    policy=REVIEWER,
    status_code=201,
    response_model=MergerResponse,
    responses=problems(404, 409),
)
async def merge_complaint(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    given: MergeRequest,
) -> Response:
    """并入: record that this complaint repeats another of its kind. Its own case ends."""
    action = mergers.merge_complaint(tx, number=number, into=given.into, by=user)
    return await idempotency.respond(201, action)


class UnmergeRequest(Input):
    reason: str = Field(min_length=REASON_MIN, max_length=500)


@router.post(
    "/complaints/{number}/merger/undoing",
    policy=REVIEWER,
    status_code=201,
    response_model=MergerResponse,
    responses=problems(404, 409),
)
async def undo_merger(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    given: UnmergeRequest,
) -> Response:
    """撤销并入: the complaint and its case go on as they were."""
    action = mergers.undo_merger(tx, number=number, reason=given.reason, by=user)
    return await idempotency.respond(201, action)


class SupplementRequest(Input):
    text: str = Field(min_length=REASON_MIN, max_length=REDACTED_SUMMARY_MAX)


@router.post(
    "/complaints/{number}/supplements", policy=REGISTRARS, status_code=201, responses=problems(404)
)
async def add_supplement(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    given: SupplementRequest,
) -> Response:
    """补充说明."""
    return await idempotency.respond(
        201, supplements.add_supplement(tx, number=number, text=given.text, by=user)
    )
