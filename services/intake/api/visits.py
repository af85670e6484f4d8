"""Visits and their photos in the JSON API."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Request
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from services.intake.actions import visits
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.domain.visits import (
    PHOTOS_MAX,
    CheckedItem,
    ItemResult,
    ReportedFinding,
    VisitReport,
)
from services.intake.store.encrypted_files import FILE_MAX_BYTES
from services.intake.views.visits import read_photo
from shared.appraisal.labels import Role, Severity, VisitMode
from shared.security.policies import allow
from shared.web import CurrentUser, NotFound, Router, Transactions, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])
INSPECTORS: Final = allow(Role.INSPECTOR, Role.OFFICE)
SHA256: Final = r"^[0-9a-f]{64}$"
PHOTO_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The body of a photo upload, for OpenAPI."""


class ItemRequest(Input):
    item_id: str = Field(max_length=50)
    result: ItemResult
    note: str = Field("", max_length=2000)


class FindingRequest(Input):
    item_id: str = Field(max_length=50)
    severity: Severity = Severity.ORDINARY
    summary: str = Field(min_length=1, max_length=2000)


class PositionRequest(Input):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    accuracy_metres: float = Field(ge=0, le=1_000_000)


class VisitRequest(Input):
    campaign_id: str = Field(max_length=100)
    round_id: UUID | None = Field(None, description="所属检查轮次，暗访必填")
    unit_id: str = Field(max_length=100)
    mode: VisitMode
    visited_at: AwareDatetime
    device_at: AwareDatetime | None = None
    position: PositionRequest | None = None
    place: str = Field("", max_length=200)
    items: list[ItemRequest] = Field(max_length=200)
    findings: list[FindingRequest] = Field(default_factory=list, max_length=50)
    remarks: str = Field("", max_length=2000)
    photos: list[Annotated[str, Field(pattern=SHA256)]] = Field(
        default_factory=list, max_length=PHOTOS_MAX
    )

    def to_report(self) -> VisitReport:
        position = self.position.model_dump() if self.position else {}
        items = [CheckedItem(**item.model_dump()) for item in self.items]
        findings = [ReportedFinding(**finding.model_dump()) for finding in self.findings]
        return VisitReport(
            campaign_id=self.campaign_id,
            round_id=self.round_id,
            unit_id=self.unit_id,
            mode=self.mode,
            visited_at=self.visited_at,
            device_at=self.device_at,
            place=self.place,
            remarks=self.remarks,
            photos=tuple(self.photos),
            items=tuple(items),
            findings=tuple(findings),
            **position,
        )


class VisitResponse(Input):
    id: UUID
    number: str
    missing: list[str]


@router.put(
    "/visits/{visit_id}/photos/{sha256}",
    policy=INSPECTORS,
    body_max=FILE_MAX_BYTES,
    status_code=201,
    responses={**problems(404, 409, 413, 415), 200: {"description": "已有这张照片"}},
    openapi_extra=PHOTO_BODY,
)
async def put_photo(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
    visit_id: UUID,
    sha256: Annotated[str, Path(pattern=SHA256)],
) -> Response:
    """Store a photo of a visit under the SHA-256 of its bytes, in any order and any number of
    times.
    """
    upload = await visits.prepare_photo(await request.body(), sha256)
    async with transactions() as tx:
        is_new = await visits.store_photo(tx, visit_id=visit_id, upload=upload, by=user)
    return json_response({"sha256": sha256}, 201 if is_new else 200)


@router.post(
    "/visits/{visit_id}/commit",
    policy=INSPECTORS,
    status_code=201,
    response_model=VisitResponse,
    responses={**problems(404, 409), 200: {"model": VisitResponse, "description": "此前已收到"}},
)
async def commit_visit(
    tx: Tx,
    user: CurrentUser,
    visit_id: UUID,
    given: VisitRequest,
) -> Response:
    """Submit the report of a visit. It is complete once `missing` is empty.

    The visit's id is the idempotency key: the same report sent again gets the same answer.
    """
    receipt = await visits.submit_visit(tx, visit_id, given.to_report(), by=user)
    body = {"id": receipt.id, "number": receipt.number, "missing": receipt.missing}
    return json_response(body, 201 if receipt.is_new else 200)


@router.get("/photos/{file_id}", policy=INSPECTORS, responses=problems(404))
async def photo(
    tx: Tx,
    user: CurrentUser,
    file_id: UUID,
) -> Response:
    """Return a photo without its metadata, for its inspector and the appraisal office."""
    body = await read_photo(tx, file_id, by=user)
    if body is None:
        raise NotFound
    headers = {"Content-Disposition": "inline; filename=photo.jpg"}
    return Response(body, media_type="image/jpeg", headers=headers)
