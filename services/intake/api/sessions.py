"""Sign in and out of the JSON API."""

from fastapi import Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from services.intake.actions import accounts
from services.intake.api.problems import ProblemDetail, problems
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.policies import PUBLIC, SIGNED_IN
from shared.security.sessions import csrf_token, read_credential
from shared.security.sign_in import count_login_attempt, reset_login_failures
from shared.web import (
    Router,
    TooManyRequests,
    Tx,
    client_network,
)
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])


class SignIn(Input):
    name: str = Field(max_length=100)
    password: str = Field(max_length=256)


class Session(Input):
    token: str
    csrf: str
    account: dict[str, str | None]


@router.post(
    "/sessions",
    policy=PUBLIC,
    status_code=201,
    response_model=Session,
    responses={**problems(429), 422: {"model": ProblemDetail}},
)
async def sign_in(request: Request, tx: Tx, given: SignIn) -> Response:
    """A session token for `Authorization: Bearer`."""
    limiter, source = request.app.state.limiter, client_network(request)
    if wait := await count_login_attempt(limiter, given.name, source):
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyRequests(wait)
    account = await accounts.sign_in(
        tx, name=given.name, password=given.password, agent=request.headers.get("user-agent", "")
    )
    if account is None:
        telemetry.login_failures.labels("wrong").inc()
        raise Rejected("用户名或密码不正确", status=401)
    await reset_login_failures(limiter, given.name, source)
    token = await request.app.state.sessions.create(account)
    shown = {
        "id": str(account.id),
        **{name: getattr(account, name) for name in ("name", "display_name", "role", "unit_id")},
    }
    return JSONResponse({"token": token, "csrf": csrf_token(token), "account": shown}, 201)


@router.delete("/sessions/current", policy=SIGNED_IN, status_code=204, responses=problems())
async def sign_out(request: Request) -> Response:
    """End the session of this token."""
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    return Response(status_code=204)
