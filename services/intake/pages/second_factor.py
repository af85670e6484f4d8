"""S6 个人设置, 动态口令: enrol, renew the recovery codes, change the telephone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import second_factors
from services.intake.actions.second_factors import WRONG_CODE, Enrolment
from services.intake.actions.sessions import replace_session
from services.intake.domain.second_factors import REQUIRED_ROLES
from services.intake.pages.qr_codes import qr_data_uri
from services.intake.pages.sign_in_cookies import session_token, set_session_cookie
from services.intake.store import second_factors as store
from shared.security.policies import SIGNED_IN, Account
from shared.security.sign_in import SignInSource, code_limit
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Router,
    Tx,
    client_network,
    enforce_rate_limit,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/me/second-factor", include_in_schema=False)
CodesAction = Callable[[Transaction, Account, str], Awaitable[list[str] | None]]
"""An action that returns new recovery codes, or None if the entered code is wrong."""


class EnrolmentForm(Input):
    code: str = Field(title="动态口令", max_length=40)


class RemovalForm(Input):
    removal_code: str = Field(title="动态口令或恢复码", max_length=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the page shows besides the state of the account. `codes` are shown once."""

    form: Form[EnrolmentForm] = field(default_factory=Form[EnrolmentForm])
    removal_form: Form[RemovalForm] = field(default_factory=Form[RemovalForm])
    codes: list[str] = field(default_factory=list)
    status: int = 200


@router.get("", policy=SIGNED_IN)
async def second_factor_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    return await _render(request, tx, user, _Page())


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    page: _Page,
) -> Response:
    enrolled = await store.is_enrolled(tx, user.id)
    enrolment = None if enrolled else await second_factors.begin_enrolment(tx, user)
    return render_page(
        request,
        "second-factor.html",
        page.status,
        form=page.form,
        removal_form=page.removal_form,
        codes=page.codes,
        enrolment=enrolment,
        qr=_qr(enrolment),
        codes_left=await store.count_recovery_codes(tx, user.id),
        required=user.role in REQUIRED_ROLES,
        waived=request.app.state.settings.second_factor == "waived",
        failed=page.status >= 400,
    )


def _qr(enrolment: Enrolment | None) -> str:
    return qr_data_uri(enrolment.uri) if enrolment else ""


@router.post("", policy=SIGNED_IN)
async def enrol(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """Enrol with a first code; the recovery codes are shown once."""
    return await _show_codes(request, tx, user, second_factors.confirm_enrolment)


@router.post("/recovery-codes", policy=SIGNED_IN)
async def renew_recovery_codes(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    return await _show_codes(request, tx, user, second_factors.renew_recovery_codes)


async def _show_codes(
    request: Request,
    tx: Transaction,
    user: Account,
    action: CodesAction,
) -> Response:
    """Show the recovery codes that the action returns for the entered code, in a session with a new
    token; or the form with its error.
    """
    await _count_code(request, user)
    form = await read_form(request, EnrolmentForm)
    given = form.cleaned
    codes = await action(tx, user, given.code) if given else None
    if codes is None:
        if not form.errors:
            form.add_error(WRONG_CODE, "code")
        return await _render(request, tx, user, _Page(form=form, status=422))
    response = await _render(request, tx, user, _Page(codes=codes))
    token = await replace_session(tx, user, session_token(request))
    set_session_cookie(request, response, user, token)
    return response


@router.post("/removal", policy=SIGNED_IN)
async def remove(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """更换手机: the next sign-in enrols again."""
    await _count_code(request, user)
    form = await read_form(request, RemovalForm)
    given = form.cleaned
    if given and await second_factors.remove_own(tx, user, given.removal_code):
        return redirect(request, "/login")
    if not form.errors:
        form.add_error(WRONG_CODE, "removal_code")
    return await _render(request, tx, user, _Page(removal_form=form, status=422))


async def _count_code(request: Request, user: Account) -> None:
    """Limit guesses by somebody who has the session but not the telephone."""
    source = SignInSource(client_network(request), device="session")
    await enforce_rate_limit(request, code_limit(user.id, source))
