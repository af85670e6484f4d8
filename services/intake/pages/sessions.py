"""S1 登录: sign in with a password and a one-time code, and sign out."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import oidc_sign_in, second_factors
from services.intake.actions.sessions import (
    NewSession,
    PendingStep,
    TooManyAttempts,
    complete_with_code,
    complete_with_enrolment,
    find_pending,
    start_session,
)
from services.intake.domain.second_factors import SignInStep
from services.intake.pages.qr_codes import qr_data_uri
from services.intake.pages.sign_in_cookies import (
    came_from_provider,
    delete_session_cookies,
    end_request,
    pending_token,
    set_pending_cookie,
    set_session_cookie,
    sign_in_client,
)
from services.intake.settings import IntakeContext
from shared.appraisal.errors import Rejected
from shared.security.passwords import PasswordsBusy
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimiter
from shared.security.sessions import read_credential
from shared.storage.redis import CacheUnavailable
from shared.storage.transaction import Transaction, TransactionFactory
from shared.web import (
    Form,
    Limiter,
    OptionalUser,
    Router,
    Transactions,
    Tx,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(include_in_schema=False)
NextPath = Annotated[str, Query(max_length=500)]
STEP_PAGES: Final = {SignInStep.CODE: "/login/code", SignInStep.ENROLMENT: "/login/enrolment"}
ResultT = TypeVar("ResultT")


class SignInForm(Input):
    name: str = Field(title="用户名", max_length=100)
    password: str = Field(title="密码", max_length=256)
    next: str = Field("/", max_length=500)


class CodeForm(Input):
    code: str = Field(title="动态口令", max_length=40)
    next: str = Field("/", max_length=500)


# ── password ──────────────────────────────────────────────────────────────────────────────────────


@router.get("/login", policy=PUBLIC)
async def login_page(
    request: Request,
    user: OptionalUser,
    next: NextPath = "/",
    ended: bool = False,
) -> Response:
    if user:
        return RedirectResponse(local_path(next), 303)
    form = Form[SignInForm].with_initial({"next": local_path(next)})
    return render_login(request, form, ended=ended)


@router.post("/login", policy=PUBLIC)
async def login(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
) -> Response:
    form = await read_form(request, SignInForm)
    given = form.cleaned
    if given is None:
        return render_login(request, form, 422)
    begun, status = await attempt(
        form,
        start_session(
            transactions,
            limiter,
            name=given.name,
            password=given.password,
            client=sign_in_client(request, given.name),
        ),
    )
    if begun is None:
        return render_login(request, form, status)
    return await after_first_step(request, begun, local_path(given.next))


async def attempt(form: Form[Any], trial: Awaitable[ResultT]) -> tuple[ResultT | None, int]:
    """Return the result of an attempt, or None and the status; the form shows the reason."""
    try:
        return await trial, 200
    except TooManyAttempts as error:
        minutes = -(-error.wait_seconds // 60)
        form.add_error(f"尝试次数过多，请 {minutes} 分钟后再试")
        return None, 429
    except Rejected as error:
        form.add_error(error.sentence, error.field or "")
        return None, error.status
    except (CacheUnavailable, PasswordsBusy) as error:
        form.add_error(str(error))
        return None, 503


async def after_first_step(
    request: Request,
    begun: NewSession | PendingStep,
    path: str,
    *,
    at_provider: bool = False,
) -> Response:
    """Return the page after the password or the identity provider: the wanted one, or a code's."""
    if isinstance(begun, NewSession):
        response = await _signed_in(request, redirect(request, path), begun)
    else:
        next_path = quote(path, safe="/")
        response = redirect(request, f"{STEP_PAGES[begun.step]}?next={next_path}")
        set_pending_cookie(request, response, begun.token)
    if at_provider:
        end_request(request, response)
    return response


async def _signed_in(
    request: Request,
    response: Response,
    session: NewSession,
) -> Response:
    """Put the new session into the response; the session that the browser had ends."""
    sessions = request.app.state.sessions
    previous = request.cookies.get(sessions.cookie)
    if previous:
        await sessions.revoke(previous)
    set_session_cookie(request, response, session.account, session.token)
    return response


def render_login(
    request: Request,
    form: Form[Any],
    status: int = 200,
    *,
    ended: bool = False,
) -> Response:
    """Return the sign-in page. `ended`: the session here ended, that at the provider did not."""
    context: IntakeContext = request.app.state.context
    provider = context.identity_provider
    return render_page(
        request,
        "login.html",
        status,
        form=form,
        waived=context.settings.second_factor == "waived",
        provider_label=provider.settings.label if provider else "",
        ended_here=ended and provider is not None,
        failed=status >= 400,
    )


def local_path(url: str) -> str:
    """Return the URL if it is a path of this site, else the home page.

    A link to the sign-in page must not redirect to another site.
    """
    is_local = url.startswith("/") and not url.startswith(("//", "/\\", "/login", "/logout"))
    return url if is_local and url.isprintable() else "/"


# ── one-time code ─────────────────────────────────────────────────────────────────────────────────


@router.get("/login/code", policy=PUBLIC)
async def code_page(request: Request, tx: Tx, next: NextPath = "/") -> Response:
    if not await _is_pending(request, tx):
        return RedirectResponse("/login", 303)
    form = Form[CodeForm].with_initial({"next": local_path(next)})
    return render_page(request, "login-code.html", form=form)


@router.post("/login/code", policy=PUBLIC)
async def enter_code(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
) -> Response:
    form = await read_form(request, CodeForm)
    given = form.cleaned
    if given is None:
        return render_page(request, "login-code.html", 422, form=form, failed=True)
    trial = await _completion(request, transactions, limiter, given.code, complete_with_code)
    session, status = await attempt(form, trial)
    if session is None:
        return render_page(request, "login-code.html", status, form=form, failed=True)
    return await _signed_in(request, redirect(request, local_path(given.next)), session)


async def _completion(
    request: Request,
    transactions: TransactionFactory,
    limiter: RateLimiter,
    code: str,
    action: Callable[..., Awaitable[ResultT]],
) -> Awaitable[ResultT]:
    """Return the attempt to complete the pending sign-in of this browser with a code."""
    token = pending_token(request)
    async with transactions() as tx:
        name = await _pending_name(tx, token)
    client = sign_in_client(request, name)
    return action(transactions, limiter, token=token, code=code, client=client)


async def _is_pending(request: Request, tx: Transaction) -> bool:
    return bool(await _pending_name(tx, pending_token(request)))


async def _pending_name(tx: Transaction, token: str) -> str:
    """Return the name of the account that is signing in, or ""."""
    try:
        pending = await find_pending(tx, token)
    except Rejected:
        return ""
    return pending.account.name


# ── enrolment ─────────────────────────────────────────────────────────────────────────────────────


@router.get("/login/enrolment", policy=PUBLIC)
async def enrolment_page(request: Request, tx: Tx, next: NextPath = "/") -> Response:
    form = Form[CodeForm].with_initial({"next": local_path(next)})
    return await _render_enrolment(request, tx, form)


async def _render_enrolment(
    request: Request,
    tx: Transaction,
    form: Form[CodeForm],
    status: int = 200,
) -> Response:
    """The QR code of the pending sign-in; the sign-in page if there is none."""
    try:
        verified = await find_pending(tx, pending_token(request))
        enrolment = await second_factors.begin_enrolment(tx, verified.account)
    except Rejected:
        return RedirectResponse("/login", 303)
    return render_page(
        request,
        "login-enrolment.html",
        status,
        form=form,
        account_name=verified.account.name,
        qr=qr_data_uri(enrolment.uri),
        secret=enrolment.secret,
        failed=status >= 400,
    )


@router.post("/login/enrolment", policy=PUBLIC)
async def enrol(
    request: Request,
    transactions: Transactions,
    limiter: Limiter,
) -> Response:
    form = await read_form(request, CodeForm)
    given = form.cleaned
    if given is None:
        return await _enrolment_again(request, transactions, form, 422)
    action = complete_with_enrolment
    trial = await _completion(request, transactions, limiter, given.code, action)
    enrolled, status = await attempt(form, trial)
    if enrolled is None:
        return await _enrolment_again(request, transactions, form, status)
    page = render_page(
        request,
        "login-recovery-codes.html",
        codes=enrolled.recovery_codes,
        next=local_path(given.next),
    )
    return await _signed_in(request, page, enrolled.session)


async def _enrolment_again(
    request: Request,
    transactions: TransactionFactory,
    form: Form[CodeForm],
    status: int,
) -> Response:
    async with transactions() as tx:
        return await _render_enrolment(request, tx, form, status)


# ── signing out ───────────────────────────────────────────────────────────────────────────────────


@router.post("/logout", policy=PUBLIC)
async def logout(request: Request) -> Response:
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    path = "/login?ended=true" if await _is_open_at_provider(request) else "/login"
    response = redirect(request, path)
    delete_session_cookies(request, response)
    return response


async def _is_open_at_provider(request: Request) -> bool:
    """Return whether this browser signed in at the provider, which has a page to sign out."""
    if not came_from_provider(request):
        return False
    return await oidc_sign_in.logout_url(request.app.state.context) is not None
