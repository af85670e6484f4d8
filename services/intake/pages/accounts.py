"""S1 登录, S2 首页, S3 命令面板, S6 个人设置, and the help page that all services link to."""

from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from services.intake.actions import accounts, home
from services.intake.store import accounts as store
from shared.appraisal.events import Refused
from shared.foundation import telemetry
from shared.security.policies import PUBLIC, SIGNED_IN
from shared.security.sessions import credential_of
from shared.security.sign_in import begin_login, login_succeeded
from shared.storage.redis import CacheUnavailable
from shared.web import (
    Door,
    Form,
    Hit,
    Tx,
    Visitor,
    Who,
    hits,
    keep_preferences,
    matches,
    page,
    preferences,
    read_form,
    see_other,
    source_of,
    spelt,
)
from shared.web.forms import Input
from shared.web.navigation import menu_for

door = Door(include_in_schema=False)
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


@door.get("/login", policy=PUBLIC)
async def login_page(
    request: Request, visitor: Visitor, next: Annotated[str, Query(max_length=500)] = "/"
) -> Response:
    if visitor:
        return RedirectResponse(own_path(next), 303)
    return page(request, "login.html", form=Form[SignIn].of({"next": own_path(next)}))


@door.post("/login", policy=PUBLIC)
async def login(request: Request, tx: Tx) -> Response:
    form = await read_form(request, SignIn)
    if form.value is None:
        return page(request, "login.html", 422, form=form, failed=True)
    limiter, source = request.app.state.limiter, source_of(request)
    if wait := await begin_login(limiter, form.value.name, source):
        telemetry.login_failures.labels("too_often").inc()
        form.refuse(f"尝试次数过多，请 {-(-wait // 60)} 分钟后再试")
        return page(request, "login.html", 429, form=form, failed=True)
    given = form.value
    account = await accounts.sign_in(
        tx, name=given.name, password=given.password, agent=request.headers.get("user-agent", "")
    )
    if account is None:
        telemetry.login_failures.labels("wrong").inc()
        form.refuse(WRONG)
        return page(request, "login.html", 401, form=form, failed=True)
    await login_succeeded(limiter, given.name, source)
    sessions = request.app.state.sessions
    try:
        token = await sessions.create(account)
    except CacheUnavailable as error:
        form.refuse(str(error))
        return page(request, "login.html", 503, form=form, failed=True)
    response = see_other(request, own_path(given.next))
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


@door.post("/logout", policy=PUBLIC)
async def logout(request: Request) -> Response:
    sessions = request.app.state.sessions
    credential = credential_of(request, sessions.cookie)
    if credential:
        await sessions.end(credential.token)
    response = see_other(request, "/login")
    response.delete_cookie(sessions.cookie, path="/")
    return response


# ── home, palette, help ───────────────────────────────────────────────────────────────────────────


@door.get("/", policy=SIGNED_IN)
async def home_page(request: Request, tx: Tx, who: Who) -> Response:
    menu = menu_for(who.role, "/")
    links = [entry for entry in menu.entries if not entry.action and entry.url not in ("/", "/me")]
    return page(
        request,
        "home.html",
        today=home.today_in_words(tx.now),
        tiles=await home.tiles(tx, who),
        links=links,
        as_of=tx.now,
    )


@door.get("/palette", policy=SIGNED_IN)
async def palette(who: Who, q: Annotated[str, Query(max_length=50)] = "") -> Response:
    """Pages and actions of this person, for whoever asks by name; works without the other services."""
    entries = [
        entry for entry in menu_for(who.role, "/").entries if not q or matches(q, spelt(entry.name))
    ]
    return JSONResponse(
        hits(
            [
                Hit(entry.group, entry.name, entry.url, f"g {entry.key}" if entry.key else "")
                for entry in entries
            ]
        )
    )


@door.get("/help", policy=SIGNED_IN)
async def help_page(request: Request) -> Response:
    return page(request, "help.html")


# ── one's own settings ────────────────────────────────────────────────────────────────────────────


@door.get("/me", policy=SIGNED_IN)
async def me(request: Request, tx: Tx, who: Who, done: str = "") -> Response:
    return await _me(request, tx, who, Form[NewPassword].of(), done=done)


async def _me(
    request: Request, tx: Tx, who: Who, form: Form[NewPassword], status: int = 200, done: str = ""
) -> Response:
    look = preferences(request)
    chosen: Form[Look] = Form.of(
        {
            "size": "big" if "big" in look else "standard",
            "keys": "off" if "nokeys" in look else "on",
        }
    )
    return page(
        request,
        "me.html",
        status,
        form=form,
        look=chosen,
        logins=await store.logins(tx, who.id),
        done=DONE.get(done, ""),
        failed=status >= 400,
    )


DONE: Final = {
    "look": "设置已保存。",
    "password": "密码已修改，其他设备上的登录已退出。",
    "sessions": "已退出其他设备上的登录。",
}


@door.post("/me/look", policy=SIGNED_IN)
async def set_look(request: Request) -> Response:
    form = await read_form(request, Look)
    response = see_other(request, "/me?done=look")
    if form.value:
        chosen = {"big": form.value.size == "big", "nokeys": form.value.keys == "off"}
        keep_preferences(
            response,
            frozenset(name for name, yes in chosen.items() if yes),
            https=request.app.state.settings.https,
        )
    return response


@door.post("/me/password", policy=SIGNED_IN)
async def set_password(request: Request, tx: Tx, who: Who) -> Response:
    form: Form[Any] = await read_form(request, NewPassword)
    if form.value is None:
        return await _me(request, tx, who, form, 422)
    given = form.value
    try:
        await accounts.change_password(
            tx, account=who, old=given.old, new=given.new, again=given.again, keep=_token(request)
        )
    except Refused as refused:
        form.refuse(refused.sentence, "new" if refused.field == "password" else refused.field or "")
        return await _me(request, tx, who, form, 422)
    return see_other(request, "/me?done=password")


@door.post("/me/sessions", policy=SIGNED_IN)
async def end_sessions(request: Request, tx: Tx, who: Who) -> Response:
    """退出其他设备."""
    await accounts.end_other_sessions(tx, account=who, keep=_token(request) or "")
    return see_other(request, "/me?done=sessions")


def _token(request: Request) -> str | None:
    credential = credential_of(request, request.app.state.sessions.cookie)
    return credential.token if credential else None
