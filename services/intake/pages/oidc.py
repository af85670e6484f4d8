"""S1 登录 through the identity provider: go there, come back, sign out there."""

from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import oidc_sign_in
from services.intake.actions.oidc_sign_in import (
    Identified,
    ProviderAnswer,
    begin_request,
    identify,
    start_identified_session,
)
from services.intake.actions.sessions import NewSession, PendingStep
from services.intake.pages.sessions import (
    NextPath,
    SignInForm,
    after_first_step,
    attempt,
    local_path,
    render_login,
)
from services.intake.pages.sign_in_cookies import (
    request_token,
    set_request_cookie,
    sign_in_client,
)
from services.intake.settings import IntakeContext
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimiter
from shared.storage.transaction import TransactionFactory
from shared.web import Form, Limiter, Router, Transactions, client_network

router = Router(include_in_schema=False)
CALLBACK_PATH: Final = "/login/oidc/callback"
"""Registered at the provider as the address of this client, after the public address."""
Answer = Annotated[str, Query(max_length=2_000)]


def context_of_request(request: Request) -> IntakeContext:
    """Return the context of the service."""
    context: IntakeContext = request.app.state.context
    return context


@router.get("/login/oidc", policy=PUBLIC)
async def begin(request: Request, limiter: Limiter, next: NextPath = "/") -> Response:
    form = Form[SignInForm].with_initial({"next": local_path(next)})
    beginning = begin_request(
        context_of_request(request),
        limiter,
        network=client_network(request),
        next_path=local_path(next),
    )
    begun, status = await attempt(form, beginning)
    if begun is None:
        return render_login(request, form, status)
    response = RedirectResponse(begun.url, 303)
    set_request_cookie(request, response, begun.token)
    return response


@router.get(CALLBACK_PATH, policy=PUBLIC)
async def come_back(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
    state: Answer = "",
    code: Answer = "",
    iss: Answer = "",
    error: Answer = "",
) -> Response:
    form = Form[SignInForm].with_initial({"next": "/"})
    answer = ProviderAnswer(state=state, code=code, issuer=iss, error=error)
    identified, status = await attempt(form, _identify(request, limiter, answer))
    if identified is None:
        return render_login(request, form, status)
    starting = _start(request, transactions, limiter, identified)
    begun, status = await attempt(form, starting)
    if begun is None:
        return render_login(request, form, status)
    return await after_first_step(request, begun, identified.next_path, at_provider=True)


async def _identify(
    request: Request,
    limiter: RateLimiter,
    answer: ProviderAnswer,
) -> Identified:
    return await identify(
        context_of_request(request),
        limiter,
        network=client_network(request),
        token=request_token(request),
        answer=answer,
    )


async def _start(
    request: Request,
    transactions: TransactionFactory,
    limiter: RateLimiter,
    identified: Identified,
) -> NewSession | PendingStep:
    return await start_identified_session(
        transactions,
        limiter,
        context=context_of_request(request),
        identified=identified,
        client=sign_in_client(request, identified.name),
    )


@router.get("/login/oidc/logout", policy=PUBLIC)
async def sign_out_there(request: Request) -> Response:
    """Send the browser to the provider's sign-out page; the session here has ended before."""
    url = await oidc_sign_in.logout_url(context_of_request(request))
    return RedirectResponse(url or "/login", 303)
