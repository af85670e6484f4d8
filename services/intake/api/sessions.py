"""Sessions in the JSON API."""

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from services.intake.actions.sessions import (
    SignInClient,
    TooManyAttempts,
    start_session_at_once,
)
from services.intake.api.problems import ProblemDetail, problems
from services.intake.api.responses import json_response
from shared.security.policies import PUBLIC, SIGNED_IN, Account
from shared.security.sessions import csrf_token, read_credential
from shared.security.sign_in import SignInSource
from shared.web import Limiter, Router, TooManyRequests, Transactions, client_network
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])


class SessionRequest(Input):
    name: str = Field(max_length=100)
    password: str = Field(max_length=256)
    code: str = Field("", max_length=40)
    """动态口令, for accounts that have one."""


class SessionResponse(Input):
    token: str
    csrf: str
    account: dict[str, str | None]


@router.post(
    "/sessions",
    policy=PUBLIC,
    status_code=201,
    response_model=SessionResponse,
    responses={**problems(429), 422: {"model": ProblemDetail}},
)
async def sign_in(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
    given: SessionRequest,
) -> Response:
    """Start a session and return its token for `Authorization: Bearer`."""
    source = SignInSource(client_network(request))
    client = SignInClient(request.headers.get("user-agent", ""), source)
    try:
        session = await start_session_at_once(
            transactions,
            limiter,
            **given.model_dump(),
            client=client,
        )
    except TooManyAttempts as error:
        raise TooManyRequests(error.wait_seconds) from error
    body = {
        "token": session.token,
        "csrf": csrf_token(session.token),
        "account": _account_response(session.account),
    }
    return json_response(body, 201)


def _account_response(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "display_name": account.display_name,
        "role": account.role,
        "unit_id": account.unit_id,
    }


@router.delete("/sessions/current", policy=SIGNED_IN, status_code=204, responses=problems())
async def sign_out(request: Request) -> Response:
    """End the session of this token."""
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    return Response(status_code=204)
