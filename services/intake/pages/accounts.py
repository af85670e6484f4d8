"""S6 个人设置: preferences, password and sessions of the account that is signed in."""

from typing import Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import accounts
from services.intake.pages.sign_in_cookies import session_token, set_session_cookie
from services.intake.store import accounts as store
from services.intake.store import second_factors
from shared.appraisal.errors import Rejected
from shared.security.policies import SIGNED_IN, Account
from shared.storage.transaction import TransactionFactory
from shared.web import (
    CurrentUser,
    Form,
    Router,
    Transactions,
    Tx,
    preferences,
    read_form,
    redirect,
    render_page,
    save_preferences,
)
from shared.web.forms import Input

router = Router(include_in_schema=False)
CONFIRMATIONS: Final = {
    "look": "设置已保存。",
    "password": "密码已修改，其他设备上的登录已退出。",
    "sessions": "已退出其他设备上的登录。",
}


class PasswordForm(Input):
    old: str = Field(title="旧密码", max_length=256)
    new: str = Field(title="新密码", max_length=256)
    again: str = Field(title="再次输入", max_length=256)


class PreferencesForm(Input):
    size: str = Field("standard", pattern="^(standard|big)$")
    keys: str = Field("on", pattern="^(on|off)$")

    @property
    def names(self) -> frozenset[str]:
        chosen = {"big": self.size == "big", "nokeys": self.keys == "off"}
        return frozenset(name for name, is_chosen in chosen.items() if is_chosen)


@router.get("/me", policy=SIGNED_IN)
async def settings_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    done: str = "",
) -> Response:
    confirmation = CONFIRMATIONS.get(done, "")
    form = Form[PasswordForm].with_initial()
    return await _render(request, tx, user, form, confirmation=confirmation)


async def _render(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    form: Form[PasswordForm],
    status: int = 200,
    *,
    confirmation: str = "",
) -> Response:
    return render_page(
        request,
        "me.html",
        status,
        form=form,
        preferences_form=_preferences_form(request),
        logins=await store.recent_logins(tx, user.id),
        enrolled=await second_factors.is_enrolled(tx, user.id),
        confirmation=confirmation,
        failed=status >= 400,
    )


def _preferences_form(request: Request) -> Form[PreferencesForm]:
    names = preferences(request)
    return Form.with_initial(
        {
            "size": "big" if "big" in names else "standard",
            "keys": "off" if "nokeys" in names else "on",
        }
    )


@router.post("/me/look", policy=SIGNED_IN)
async def set_preferences(request: Request) -> Response:
    form = await read_form(request, PreferencesForm)
    response = redirect(request, "/me?done=look")
    if form.cleaned:
        https = request.app.state.settings.https
        save_preferences(response, form.cleaned.names, https=https)
    return response


@router.post("/me/password", policy=SIGNED_IN)
async def set_password(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
) -> Response:
    form: Form[PasswordForm] = await read_form(request, PasswordForm)
    given = form.cleaned
    token = await _change_password(transactions, user, form, given) if given else None
    if token is None:
        async with transactions() as tx:
            return await _render(request, tx, user, form, 422)
    response = redirect(request, "/me?done=password")
    set_session_cookie(request, response, user, token)
    return response


async def _change_password(
    transactions: TransactionFactory,
    user: Account,
    form: Form[PasswordForm],
    given: PasswordForm,
) -> str | None:
    """Change the password and return the token of the new session; None if it was rejected."""
    values = given.model_dump()
    try:
        return await accounts.change_password(transactions, account=user, **values)
    except Rejected as error:
        field = "new" if error.field == "password" else error.field
        form.add_error(error.sentence, field or "")
        return None


@router.post("/me/sessions", policy=SIGNED_IN)
async def end_other_sessions(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """退出其他设备."""
    await accounts.end_other_sessions(tx, account=user, keep=session_token(request) or "")
    return redirect(request, "/me?done=sessions")
