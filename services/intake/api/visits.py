"""Inspection visits in the JSON API."""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Path, Request
from pydantic import AwareDatetime, Field
from starlette.responses import JSONResponse, Response

from services.intake.actions import visits
from services.intake.api.problems import problems
from services.intake.domain.visits import PHOTOS_MAX, Checked, Found
from services.intake.store.encrypted_files import FILE_MAX_BYTES
from shared.appraisal.labels import Role, Severity
from shared.security.policies import allow
from shared.web import (
    CurrentUser,
    NotFound,
    Router,
    Tx,
)
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])

INSPECTORS: Final = allow(Role.INSPECTOR, Role.OFFICE)
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class Item(Input):
    item_id: str = Field(max_length=50)
    result: Literal["pass", "fail", "na"]
    note: str = Field("", max_length=2000)


class DescribedFinding(Input):
    item_id: str = Field(max_length=50)
    severity: Severity = Severity.ORDINARY
    summary: str = Field(min_length=1, max_length=2000)


class Position(Input):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    accuracy_metres: float = Field(ge=0, le=1_000_000)


class VisitReport(Input):
    campaign_id: str = Field(max_length=100)
    unit_id: str = Field(max_length=100)
    mode: Literal["announced", "covert"]
    visited_at: AwareDatetime
    device_at: AwareDatetime | None = None
    position: Position | None = None
    place: str = Field("", max_length=200)
    items: list[Item] = Field(max_length=200)
    findings: list[DescribedFinding] = Field(default_factory=list, max_length=50)
    remarks: str = Field("", max_length=2000)
    photos: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=list, max_length=PHOTOS_MAX
    )

    def report(self) -> visits.Report:
        """As the actions take it."""
        return visits.Report(
            campaign_id=self.campaign_id,
            unit_id=self.unit_id,
            mode=self.mode,
            visited_at=self.visited_at,
            device_at=self.device_at,
            place=self.place,
            remarks=self.remarks,
            photos=tuple(self.photos),
            **(self.position.model_dump() if self.position else {}),
            items=tuple(Checked(item.item_id, item.result, item.note) for item in self.items),
            findings=tuple(
                Found(found.item_id, found.severity, found.summary) for found in self.findings
            ),
        )


class VisitReceipt(Input):
    id: UUID
    number: str
    missing: list[str]


@router.put(
    "/visits/{visit_id}/photos/{sha256}",
    policy=INSPECTORS,
    body_max=FILE_MAX_BYTES,
    status_code=201,
    responses={**problems(404, 409, 413, 415), 200: {"description": "已有这张照片"}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_photo(
    request: Request, tx: Tx, user: CurrentUser, visit_id: UUID, sha256: Digest
) -> Response:
    """A photo of a visit, named by the SHA-256 of its bytes; any order, any number of times."""
    new = await visits.store_photo(
        tx, visit_id=visit_id, sha256=sha256, body=await request.body(), by=user
    )
    return JSONResponse({"sha256": sha256}, 201 if new else 200)


@router.post(
    "/visits/{visit_id}/commit",
    policy=INSPECTORS,
    status_code=201,
    response_model=VisitReceipt,
    responses={**problems(404, 409), 200: {"model": VisitReceipt, "description": "此前已收到"}},
)
async def commit_visit(tx: Tx, user: CurrentUser, visit_id: UUID, given: VisitReport) -> Response:
    """Hand a visit in. Its id is the key: sent again it gets the same answer. It counts once
    `missing` is empty.
    """
    accepted = await visits.submit_visit(tx, visit_id, given.report(), by=user)
    body = {"id": str(accepted.id), "number": accepted.number, "missing": accepted.missing}
    return JSONResponse(body, 201 if accepted.first else 200)


@router.get("/photos/{file_id}", policy=INSPECTORS, responses=problems(404))
async def photo(tx: Tx, user: CurrentUser, file_id: UUID) -> Response:
    """A photo without its metadata, for its inspector and the appraisal office."""
    body = await visits.read_photo(tx, file_id, by=user)
    if body is None:
        raise NotFound
    return Response(
        body, media_type="image/jpeg", headers={"Content-Disposition": "inline; filename=photo.jpg"}
    )
