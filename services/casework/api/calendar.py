"""The working calendar: preview and import of a yearly notice."""

from pydantic import BaseModel, Field
from starlette.responses import Response

from services.casework.actions.calendar import (
    AmendmentPreview,
    amend_calendar,
    preview_amendment,
)
from services.casework.api.routing import api_router
from services.casework.domain.calendar import Amendment
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Tx
from shared.web.forms import Input

router = api_router()
ADMIN = allow(Role.ADMIN)


class CalendarImportRequest(Input):
    """`text` is a yearly notice as YAML or CSV. `shorten` also applies what would be due earlier
    than announced.
    """

    text: str = Field(min_length=1, max_length=100_000)
    shorten: bool = False


class CalendarImportResponse(BaseModel):
    """How many deadlines a notice affects, how many of them move, and how many become shorter."""

    calendar_version: str
    affected: int
    moved: int
    shortened: int
    cases: list[str]


def _response(preview: AmendmentPreview) -> CalendarImportResponse:
    return CalendarImportResponse(
        calendar_version=preview.new.version,
        affected=len(preview.affected),
        moved=preview.moved,
        shortened=preview.shortened,
        cases=sorted({deadline.row.number for deadline in preview.affected}),
    )


@router.post("/calendar/preview", policy=ADMIN, response_model=CalendarImportResponse)
async def preview_notice(tx: Tx, body: CalendarImportRequest) -> CalendarImportResponse:
    """What a yearly notice would move. Nothing is written."""
    return _response(await preview_amendment(tx, Amendment.from_notice(body.text)))


@router.post(
    "/calendar/notices", policy=ADMIN, status_code=201, response_model=CalendarImportResponse
)
async def import_notice(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    body: CalendarImportRequest,
) -> Response:
    """导入年度安排."""
    return await idempotency.respond(201, _import(tx, user, body))


async def _import(
    tx: Transaction,
    user: Account,
    body: CalendarImportRequest,
) -> CalendarImportResponse:
    amendment = Amendment.from_notice(body.text)
    return _response(await amend_calendar(tx, amendment, by=user, shorten=body.shorten))
