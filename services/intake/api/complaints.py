"""Complaints in the JSON API."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, Field
from starlette.responses import JSONResponse, Response

from services.intake.actions import complaints
from services.intake.actions.complaints import Entry, code_of
from services.intake.api.problems import problems
from services.intake.domain.complaints import (
    CODE_DIGITS,
    COMPLAINT_TEXT_MAX,
    REDACTED_SUMMARY_MAX,
    Report,
)
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.security.policies import allow
from shared.web import CoalescedIdempotency, CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])
REGISTRARS: Final = allow(Role.OPERATOR, Role.REVIEWER, Role.OFFICE, Role.ADMIN)


class NewComplaint(Input):
    """A complaint to register. `redacted_summary` left out: drafted from `complaint_text` by masking what is
    personal.
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
    identity: Literal["real_name", "confidential", "anonymous"] = "confidential"
    name: str = Field("", max_length=50)
    phone: str = Field("", max_length=30)
    address: str = Field("", max_length=200)
    place: str = Field("", max_length=200)
    occurred_at: str = Field("", max_length=100, description="什么时候发生的，原话或日期")
    received_at: AwareDatetime | None = Field(
        None, description="补录时的收到时间，仅评议办和管理员可填"
    )
    merge_into: str = Field("", max_length=20, description="并入的诉求编号")

    def report(self) -> Report:
        """As the actions take it."""
        given = vars(self)
        return Report(
            occurred=self.occurred_at,
            **{name: given[name] for name in Report.__struct_fields__ if name != "occurred"},
        )


class ComplaintReceipt(Input):
    id: UUID
    number: str
    query_code: str = Field(pattern=rf"^\d{{{CODE_DIGITS}}}$")
    campaign_id: str
    unit_id: str | None
    redacted_summary: str
    received_at: datetime
    merged_into: str | None


@router.post(
    "/complaints",
    policy=REGISTRARS,
    status_code=201,
    response_model=ComplaintReceipt,
    responses=problems(409),
)
async def register_complaint(
    request: Request, user: CurrentUser, idempotency: CoalescedIdempotency, given: NewComplaint
) -> Response:
    """Register a complaint.

    The query code is derived for each response: it is not stored, not even for repetitions.
    """
    entry = Entry(report=given.report(), by=user, merge_into=given.merge_into)
    registered = await idempotency.run(complaints.register_complaints, entry)
    code = code_of(request.app.state.context.ring, UUID(registered.body["id"]))
    return registered.with_fields(query_code=code).response()


class Similar(Input):
    id: UUID
    number: str
    likeness: float
    kind: ComplaintKind
    redacted_summary: str
    received_at: datetime
    repeats: int
    closed: bool


@router.get(
    "/complaints/similar", policy=REGISTRARS, response_model=list[Similar], responses=problems()
)
async def similar_complaints(
    tx: Tx,
    user: CurrentUser,
    campaign_id: Annotated[str, Query(max_length=100)],
    unit_id: Annotated[str, Query(max_length=100)],
    redacted_summary: Annotated[str, Query(max_length=REDACTED_SUMMARY_MAX)],
) -> Response:
    """疑似重复: about the same unit within seven days, alike in words."""
    found = await complaints.similar_complaints(
        tx, campaign_id=campaign_id, unit_id=unit_id, redacted_summary=redacted_summary, user=user
    )
    listed = [
        {
            "id": str(row["id"]),
            "received_at": row["received_at"].isoformat(),
            "closed": row["closed_at"] is not None,
        }
        | {
            name: row[name]
            for name in ("number", "likeness", "kind", "redacted_summary", "repeats")
        }
        for row in found
    ]
    return JSONResponse(listed)


class Merger(Input):
    into: str = Field(max_length=20)


@router.post(
    "/complaints/{number}/merger", policy=REGISTRARS, status_code=201, responses=problems(404, 409)
)
async def merge_complaint(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str, given: Merger
) -> Response:
    """并入 another complaint."""
    return await idempotency.respond(
        201, complaints.merge_complaint(tx, number=number, into=given.into, by=user)
    )


class Supplement(Input):
    text: str = Field(min_length=5, max_length=REDACTED_SUMMARY_MAX)


@router.post(
    "/complaints/{number}/supplements", policy=REGISTRARS, status_code=201, responses=problems(404)
)
async def add_supplement(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str, given: Supplement
) -> Response:
    """补充说明."""
    return await idempotency.respond(
        201, complaints.add_supplement(tx, number=number, text=given.text, by=user)
    )
