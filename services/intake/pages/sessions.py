"""S1 登录: sign in and out."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions.sessions import NewSession, TooManyAttempts, start_session
from shared.appraisal.errors import Rejected
from shared.security.passwords import PasswordsBusy
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimiter
from shared.security.sessions import read_credential
from shared.storage.redis import CacheUnavailable
from shared.storage.transaction import TransactionFactory
from shared.web import (
    Form,
    Limiter,
    OptionalUser,
    Router,
    Transactions,
    client_network,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(include_in_schema=False)


class SignInForm(Input):
    name: str = Field(title="用户名", max_length=100)
    password: str = Field(title="密码", max_length=256)
    next: str = Field("/", max_length=500)


@router.get("/login", policy=PUBLIC)
async def login_page(
    request: Request,
    user: OptionalUser,
    next: Annotated[str, Query(max_length=500)] = "/",
) -> Response:
    if user:
        return RedirectResponse(local_path(next), 303)
    form = Form[SignInForm].with_initial({"next": local_path(next)})
    return render_page(request, "login.html", form=form)


@router.post("/login", policy=PUBLIC)
async def login(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
) -> Response:
    form = await read_form(request, SignInForm)
    given = form.cleaned
    if given is None:
        return _failed(request, form, 422)
    try:
        session = await _start_session(request, transactions, limiter, given)
    except TooManyAttempts as error:
        minutes = -(-error.wait_seconds // 60)
        return _failed(request, form, 429, f"尝试次数过多，请 {minutes} 分钟后再试")
    except Rejected as error:
        return _failed(request, form, error.status, error.sentence)
    except (CacheUnavailable, PasswordsBusy) as error:
        return _failed(request, form, 503, str(error))
    response = redirect(request, local_path(given.next))
    _set_session_cookie(request, response, session.token)
    return response


async def _start_session(
    request: Request,
    transactions: TransactionFactory,
    limiter: RateLimiter,
    given: SignInForm,
) -> NewSession:
    return await start_session(
        transactions,
        limiter,
        name=given.name,
        password=given.password,
        agent=request.headers.get("user-agent", ""),
        network=client_network(request),
    )


def _failed(
    request: Request,
    form: Form[SignInForm],
    status: int,
    sentence: str = "",
) -> Response:
    if sentence:
        form.add_error(sentence)
    return render_page(request, "login.html", status, form=form, failed=True)


def _set_session_cookie(
    request: Request,
    response: Response,
    token: str,
) -> None:
    sessions = request.app.state.sessions
    response.set_cookie(
        sessions.cookie,
        token,
        httponly=True,
        samesite="lax",
        secure=sessions.https,
        path="/",
    )


def local_path(url: str) -> str:
    """Return the URL if it is a path of this site, else the home page.

    A link to the sign-in page must not redirect to another site.
    """
    is_local = url.startswith("/") and not url.startswith(("//", "/\\", "/login", "/logout"))
    return url if is_local and url.isprintable() else "/"


@router.post("/logout", policy=PUBLIC)
async def logout(request: Request) -> Response:
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    response = redirect(request, "/login")
    response.delete_cookie(sessions.cookie, path="/")
    return response
