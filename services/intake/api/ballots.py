"""Questionnaire codes and ballots in the JSON API."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from services.intake.actions import ballots
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.domain.ballots import ANSWERS_MAX
from services.intake.domain.questionnaires import WrittenAnswer
from services.intake.store import ballots as store
from shared.appraisal.labels import Role
from shared.security.policies import PUBLIC, allow
from shared.security.rate_limits import RateLimit
from shared.web import (
    CurrentUser,
    Router,
    Tx,
    client_network,
    enforce_rate_limit,
)
from shared.web.forms import Input
from shared.web.idempotency_keys import KEY_HEADER, KEY_MAX, MissingIdempotencyKey

router = Router(prefix="/intake/api", tags=["受理"])
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)
BALLOTS_PER_MINUTE: Final = (600, 60)
"""From one network: the tablets of a service hall share an address."""


class TokenBatchRequest(Input):
    campaign_id: str = Field(max_length=100)
    instrument: str = Field(max_length=50)
    group: str = Field(max_length=50)
    unit_id: str | None = Field(None, max_length=100, description="张贴单位，仅限固定码")
    count: int = Field(1, ge=1, le=ballots.BATCH_MAX)
    use: Literal["one_use", "place"] = "one_use"
    closes_on: date | None = None


class TokenBatchResponse(Input):
    id: UUID
    codes: list[str]


class WrittenAnswerRequest(Input):
    unit_no: int
    item_no: int
    text: str = Field(max_length=2_000)


class BallotRequest(Input):
    token: str = Field(max_length=60)
    answers: list[tuple[int, int, int]] = Field(
        max_length=ANSWERS_MAX, description="[单位序号, 题号, 选项号]"
    )
    texts: list[WrittenAnswerRequest] = Field(
        default_factory=list,
        max_length=200,
        description="文字意见",
    )


@router.post(
    "/token-batches",
    policy=OFFICE,
    status_code=201,
    response_model=TokenBatchResponse,
    responses={**problems(), 201: {"content": {"text/csv": {}}, "description": "问卷码，仅此一次"}},
)
async def issue_tokens(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    given: TokenBatchRequest,
) -> Response:
    """Issue codes and return them, this once, as JSON or (`Accept: text/csv`) as CSV.

    A repeated request issues another batch; no idempotency key is needed.
    """
    batch_id, codes = await ballots.issue_tokens(tx, **given.model_dump(), by=user)
    if "text/csv" in request.headers.get("accept", ""):
        return _codes_csv(codes, site=request.app.state.settings.site_url)
    return json_response({"id": batch_id, "codes": codes}, 201)


def _codes_csv(codes: Sequence[str], *, site: str) -> Response:
    lines = ["code,url", *(f"{code},{site}/s/{code}" for code in codes), ""]
    body = "\ufeff" + "\r\n".join(lines)
    return Response(body, 201, media_type="text/csv; charset=utf-8")


@router.get("/token-batches", policy=OFFICE, responses=problems())
async def list_batches(
    tx: Tx, campaign_id: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """List the register of issuance: codes issued and ballots cast, by batch."""
    return json_response(await store.list_batches(tx, campaign_id))


@router.post(
    "/ballots", policy=PUBLIC, status_code=201, responses=problems(403, 404, 409, 410, 429)
)
async def cast_ballot(
    request: Request,
    tx: Tx,
    given: BallotRequest,
) -> Response:
    """Cast a ballot with a one-use code.

    The response contains nothing by which the ballot could be found again.
    """
    key = _idempotency_key(request)
    limit = RateLimit(f"ballots/{client_network(request)}", *BALLOTS_PER_MINUTE)
    await enforce_rate_limit(request, limit)
    ballots.check_not_place_code(given.token)
    written = [WrittenAnswer(one.unit_no, one.item_no, one.text) for one in given.texts]
    await ballots.cast_ballot(
        tx,
        code=given.token,
        answers=given.answers,
        written=written,
        key=key,
    )
    return json_response({"accepted": True}, 201)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= KEY_MAX:
        raise MissingIdempotencyKey
    return key
