"""S1 登录, S2 首页, S3 命令面板, S6 个人设置, and the help page that all services link to."""

from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from services.intake.actions import accounts, home
from services.intake.store import accounts as store
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.policies import PUBLIC, SIGNED_IN
from shared.security.sessions import read_credential
from shared.security.sign_in import count_login_attempt, reset_login_failures
from shared.storage.redis import CacheUnavailable
from shared.web import (
    CurrentUser,
    Form,
    OptionalUser,
    PaletteResult,
    Router,
    Tx,
    client_network,
    matches_search,
    palette_results,
    preferences,
    read_form,
    redirect,
    render_page,
    save_preferences,
    search_terms,
)
from shared.web.forms import Input
from shared.web.navigation import menu_for

router = Router(include_in_schema=False)
WRONG: Final = "用户名或密码不正确"


class SignIn(Input):
    name: str = Field(title="用户名", max_length=100)
    password: str = Field(title="密码", max_length=256)
    next: str = Field("/", max_length=500)


class NewPassword(Input):
    old: str = Field(title="旧密码", max_length=256)
    new: str = Field(title="新密码", max_length=256)
    again: str = Field(title="再次输入", max_length=256)


class Look(Input):
    size: str = Field("standard", pattern="^(standard|big)$")
    keys: str = Field("on", pattern="^(on|off)$")


# ── signing in and out ────────────────────────────────────────────────────────────────────────────


@router.get("/login", policy=PUBLIC)
async def login_page(
    request: Request, user: OptionalUser, next: Annotated[str, Query(max_length=500)] = "/"
) -> Response:
    if user:
        return RedirectResponse(own_path(next), 303)
    return render_page(
        request, "login.html", form=Form[SignIn].with_initial({"next": own_path(next)})
    )


@router.post("/login", policy=PUBLIC)
async def login(request: Request, tx: Tx) -> Response:
    form = await read_form(request, SignIn)
    if form.cleaned is None:
        return render_page(request, "login.html", 422, form=form, failed=True)
    limiter, source = request.app.state.limiter, client_network(request)
    if wait := await count_login_attempt(limiter, form.cleaned.name, source):
        telemetry.login_failures.labels("too_often").inc()
        form.add_error(f"尝试次数过多，请 {-(-wait // 60)} 分钟后再试")
        return render_page(request, "login.html", 429, form=form, failed=True)
    given = form.cleaned
    account = await accounts.sign_in(
        tx, name=given.name, password=given.password, agent=request.headers.get("user-agent", "")
    )
    if account is None:
        telemetry.login_failures.labels("wrong").inc()
        form.add_error(WRONG)
        return render_page(request, "login.html", 401, form=form, failed=True)
    await reset_login_failures(limiter, given.name, source)
    sessions = request.app.state.sessions
    try:
        token = await sessions.create(account)
    except CacheUnavailable as error:
        form.add_error(str(error))
        return render_page(request, "login.html", 503, form=form, failed=True)
    response = redirect(request, own_path(given.next))
    response.set_cookie(
        sessions.cookie, token, httponly=True, samesite="lax", secure=sessions.https, path="/"
    )
    return response


def own_path(url: str) -> str:
    """The path if it is one of ours, else the home page: nobody is led away by a link to the
    sign-in page.
    """
    inside = (
        url.startswith("/")
        and not url.startswith(("//", "/\\", "/login", "/logout"))
        and url.isprintable()
    )
    return url if inside else "/"


@router.post("/logout", policy=PUBLIC)
async def logout(request: Request) -> Response:
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    response = redirect(request, "/login")
    response.delete_cookie(sessions.cookie, path="/")
    return response


# ── home, palette, help ───────────────────────────────────────────────────────────────────────────


@router.get("/", policy=SIGNED_IN)
async def home_page(request: Request, tx: Tx, user: CurrentUser) -> Response:
    menu = menu_for(user.role, "/")
    links = [entry for entry in menu.entries if not entry.action and entry.url not in ("/", "/me")]
    return render_page(
        request,
        "home.html",
        today=home.today_in_words(tx.now),
        tiles=await home.tiles(tx, user),
        links=links,
        as_of=tx.now,
    )


@router.get("/palette", policy=SIGNED_IN)
async def palette(user: CurrentUser, q: Annotated[str, Query(max_length=50)] = "") -> Response:
    """Pages and actions of this person, for whoever asks by name; works without the other services."""
    entries = [
        entry
        for entry in menu_for(user.role, "/").entries
        if not q or matches_search(q, search_terms(entry.name))
    ]
    return JSONResponse(
        palette_results(
            [
                PaletteResult(
                    entry.group, entry.name, entry.url, f"g {entry.key}" if entry.key else ""
                )
                for entry in entries
            ]
        )
    )


@router.get("/help", policy=SIGNED_IN)
async def help_page(request: Request) -> Response:
    return render_page(request, "help.html")


# ── one's own settings ────────────────────────────────────────────────────────────────────────────


@router.get("/me", policy=SIGNED_IN)
async def me(request: Request, tx: Tx, user: CurrentUser, done: str = "") -> Response:
    return await _me(request, tx, user, Form[NewPassword].with_initial(), done=done)


async def _me(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    form: Form[NewPassword],
    status: int = 200,
    done: str = "",
) -> Response:
    look = preferences(request)
    chosen: Form[Look] = Form.with_initial(
        {
            "size": "big" if "big" in look else "standard",
            "keys": "off" if "nokeys" in look else "on",
        }
    )
    return render_page(
        request,
        "me.html",
        status,
        form=form,
        look=chosen,
        logins=await store.logins(tx, user.id),
        done=DONE.get(done, ""),
        failed=status >= 400,
    )


DONE: Final = {
    "look": "设置已保存。",
    "password": "密码已修改，其他设备上的登录已退出。",
    "sessions": "已退出其他设备上的登录。",
}


@router.post("/me/look", policy=SIGNED_IN)
async def set_look(request: Request) -> Response:
    form = await read_form(request, Look)
    response = redirect(request, "/me?done=look")
    if form.cleaned:
        chosen = {"big": form.cleaned.size == "big", "nokeys": form.cleaned.keys == "off"}
        save_preferences(
            response,
            frozenset(name for name, yes in chosen.items() if yes),
            https=request.app.state.settings.https,
        )
    return response


@router.post("/me/password", policy=SIGNED_IN)
async def set_password(request: Request, tx: Tx, user: CurrentUser) -> Response:
    form: Form[Any] = await read_form(request, NewPassword)
    if form.cleaned is None:
        return await _me(request, tx, user, form, 422)
    given = form.cleaned
    try:
        await accounts.change_password(
            tx, account=user, old=given.old, new=given.new, again=given.again, keep=_token(request)
        )
    except Rejected as refused:
        form.add_error(
            refused.sentence, "new" if refused.field == "password" else refused.field or ""
        )
        return await _me(request, tx, user, form, 422)
    return redirect(request, "/me?done=password")


@router.post("/me/sessions", policy=SIGNED_IN)
async def end_sessions(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """退出其他设备."""
    await accounts.end_other_sessions(tx, account=user, keep=_token(request) or "")
    return redirect(request, "/me?done=sessions")


def _token(request: Request) -> str | None:
    credential = read_credential(request, request.app.state.sessions.cookie)
    return credential.token if credential else None
