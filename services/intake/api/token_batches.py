"""Batches of questionnaire codes in the JSON API."""

from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from services.intake.actions import token_batches
from services.intake.actions.token_batches import BatchRequest
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.domain.token_batches import TokenUse
from services.intake.store import token_batches as store
from services.intake.views.token_batches import codes_csv
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api/token-batches", tags=["受理"])
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)
OPENERS: Final = allow(Role.OFFICE, Role.ADMIN, Role.REVIEWER)


class TokenBatchRequest(Input):
    campaign_id: str = Field(max_length=100)
    instrument: str = Field(max_length=50)
    group: str = Field(max_length=50)
    unit_id: str | None = Field(None, max_length=100, description="张贴单位，仅限固定码")
    expected: int | None = Field(
        None, ge=1, le=1_000_000, description="固定码的预计份数，超出时暂扣"
    )
    count: int = Field(ge=1, le=token_batches.BATCH_MAX)
    use: Literal[TokenUse.ONE_USE, TokenUse.PLACE] = TokenUse.ONE_USE
    closes_on: date | None = None


class TokenBatchResponse(Input):
    id: UUID


class CodesResponse(Input):
    codes: list[str]


@router.post(
    "",
    policy=OFFICE,
    status_code=201,
    response_model=TokenBatchResponse,
    responses=problems(),
)
async def request_batch(
    tx: Tx,
    user: CurrentUser,
    given: TokenBatchRequest,
) -> Response:
    """Request a batch of codes. Another person opens it.

    A repeated request is another batch; no idempotency key is needed.
    """
    wanted = BatchRequest(**given.model_dump())
    batch_id = await token_batches.request_batch(tx, wanted, by=user)
    return json_response({"id": batch_id}, 201)


@router.post(
    "/{batch_id}/codes",
    policy=OPENERS,
    status_code=201,
    response_model=CodesResponse,
    responses={
        **problems(403, 404, 409),
        201: {"content": {"text/csv": {}}, "description": "问卷码，仅此一次"},
    },
)
async def open_batch(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    batch_id: UUID,
) -> Response:
    """Create the codes and return them, this once, as JSON or (`Accept: text/csv`) as CSV."""
    codes = await token_batches.open_batch(tx, batch_id, by=user)
    if "text/csv" in request.headers.get("accept", ""):
        content = codes_csv(codes, site=request.app.state.settings.site_url)
        return Response(content, 201, media_type="text/csv; charset=utf-8")
    return json_response({"codes": codes}, 201)


@router.get("", policy=OFFICE, responses=problems())
async def list_batches(
    tx: Tx, campaign_id: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """List the register of issuance: codes issued and ballots cast, by batch."""
    return json_response(await store.list_batches(tx, campaign_id))
