"""Ballots in the JSON API."""

from typing import Final

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.intake.actions import ballots
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.domain.ballots import ANSWERS_MAX, source_of
from services.intake.domain.questionnaires import WrittenAnswer
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimit
from shared.web import (
    Router,
    Tx,
    client_network,
    enforce_rate_limit,
)
from shared.web.forms import Input
from shared.web.idempotency_keys import KEY_HEADER, KEY_MAX, MissingIdempotencyKey

router = Router(prefix="/intake/api", tags=["受理"])
BALLOTS_PER_MINUTE: Final = (600, 60)
"""From one network: the tablets of a service hall share an address."""


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
        source=source_of(client_network(request), request.headers.get("user-agent", "")),
    )
    return json_response({"accepted": True}, 201)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= KEY_MAX:
        raise MissingIdempotencyKey
    return key
