"""Questionnaire codes and ballots in the JSON API."""

from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from services.intake.actions import ballots
from services.intake.api.problems import json_rows, problems
from services.intake.store import ballots as ballot_store
from shared.appraisal.labels import Role
from shared.security.policies import PUBLIC, allow
from shared.security.rate_limits import RateLimit
from shared.web import (
    CurrentUser,
    Router,
    TooManyRequests,
    Tx,
    client_network,
    enforce_rate_limit,
)
from shared.web.error_responses import error_response
from shared.web.forms import Input
from shared.web.idempotency_keys import KEY_HEADER, KEY_MAX, MissingIdempotencyKey

router = Router(prefix="/intake/api", tags=["受理"])
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)
BALLOTS_A_MINUTE: Final = (600, 60)
"""From one address: a hall's tablets stand behind one; a script is slower than it would like."""


class NewBatch(Input):
    campaign_id: str = Field(max_length=100)
    instrument: str = Field(max_length=50)
    group: str = Field(max_length=50)
    point: str | None = Field(None, max_length=100)
    count: int = Field(1, ge=1, le=ballots.BATCH_MAX)
    use: Literal["one_use", "place"] = "one_use"
    closes_on: date | None = None


class Batch(Input):
    id: UUID
    codes: list[str]


@router.post(
    "/token-batches",
    policy=OFFICE,
    status_code=201,
    response_model=Batch,
    responses={**problems(), 201: {"content": {"text/csv": {}}, "description": "问卷码，仅此一次"}},
)
async def issue_tokens(request: Request, tx: Tx, user: CurrentUser, given: NewBatch) -> Response:
    """Issue codes; they are shown this once, as JSON or (`Accept: text/csv`) as CSV. A repetition
    makes another batch: no key is taken.
    """
    batch_id, codes = await ballots.issue_tokens(tx, **given.model_dump(), by=user)
    if "text/csv" in request.headers.get("accept", ""):
        lines = [
            "code,url",
            *(f"{code},{request.url.scheme}://{request.url.netloc}/s/{code}" for code in codes),
        ]
        return Response(
            "\ufeff" + "\r\n".join(lines) + "\r\n", 201, media_type="text/csv; charset=utf-8"
        )
    return JSONResponse({"id": str(batch_id), "codes": codes}, 201)


@router.get("/token-batches", policy=OFFICE, responses=problems())
async def list_batches(
    tx: Tx, campaign_id: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The register of issuance: codes issued and ballots cast, by batch."""
    return JSONResponse(json_rows(await ballot_store.batches(tx, campaign_id)))


class NewBallot(Input):
    token: str = Field(max_length=60)
    answers: list[tuple[int, int, int]] = Field(
        max_length=20_000, description="[单位序号, 题号, 选项号]"
    )


@router.post("/ballots", policy=PUBLIC, status_code=201, responses=problems(404, 409, 410, 429))
async def cast_ballot(request: Request, tx: Tx, given: NewBallot) -> Response:
    """Cast a ballot. The answer says that it was taken, and nothing by which it could be found
    again.
    """
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= KEY_MAX:
        raise MissingIdempotencyKey
    await enforce_rate_limit(
        request, RateLimit(f"ballots/{client_network(request)}", *BALLOTS_A_MINUTE)
    )
    if wait := await ballots.place_wait(tx, request.app.state.limiter, given.token):
        too_many = TooManyRequests(
            wait
        )  # Answered, not raised: that the place was marked is to be committed.
        return error_response(request, too_many.status, too_many.sentence, headers=too_many.headers)
    await ballots.cast_ballot(tx, code=given.token, answers=given.answers, key=key, device=key)
    return JSONResponse({"accepted": True}, 201)
