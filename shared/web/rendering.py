"""Pages and fragments: one Jinja2 environment per service, its own templates first, then the shared
ones.

A template that names something nobody gave it fails (StrictUndefined); text is escaped always. What
every page shows (who is signed in, the menu, the tokens of its forms) is added here and nowhere
else.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import FastAPI
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.security.sessions import csrf_token, read_credential
from shared.web.app_state import app_state
from shared.web.navigation import Menu, menu_for
from shared.web.spoken_dates import WEEKDAYS
from shared.web.static_files import STATIC, static_folder, static_url

TEMPLATES: Final = Path(__file__).parent / "templates"
PREFERENCES_COOKIE: Final = "fengping_look"
PREFERENCES: Final = frozenset({"big", "nokeys"})


def create_environment(folder: Path | None) -> Environment:
    """Templates of one service. `folder`: its `templates/`."""
    folders = [*([folder] if folder else []), TEMPLATES]
    jinja = Environment(
        loader=ChoiceLoader([FileSystemLoader(each) for each in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        format_datetime=format_datetime,
        format_long_datetime=format_long_datetime,
        format_date=format_date,
        format_time=format_time,
        format_iso=format_iso,
        format_number=format_number,
        query_string=query_string,
    )
    own_static = static_folder(folder) if folder else STATIC
    jinja.globals.update(
        static=lambda name: static_url(name, own_static), new_key=lambda: str(uuid4())
    )
    return jinja


def render_page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A whole page of this service, as HTML."""
    jinja = app_state(request).templates
    return HTMLResponse(jinja.get_template(template).render(base_context(request, context)), status)


def render_fragment(
    request: Request, template: str, block: str, status: int = 200, **context: Any
) -> HTMLResponse:
    """One `{% block %}` of a template: what htmx puts in place of the old one. Raises KeyError for
    a block that is not there.
    """
    jinja = app_state(request).templates
    found = jinja.get_template(template)
    return HTMLResponse(
        "".join(found.blocks[block](found.new_context(base_context(request, context)))), status
    )


def redirect(request: Request, url: str) -> Response:
    """Go on to `url` after a write: 303 for a plain form, `HX-Redirect` for htmx, so that the
    address bar is right in both.
    """
    if is_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=303)


def is_htmx(request: Request) -> bool:
    """Did htmx ask, so that a fragment is wanted rather than a page?"""
    return request.headers.get("hx-request") == "true"


def base_context(request: Request, context: Mapping[str, Any]) -> dict[str, Any]:
    """What the layout needs besides what the page gives."""
    state = app_state(request)
    account: Account | None = getattr(request.state, "account", None)
    look = preferences(request)
    values: dict[str, Any] = {
        "request": request,
        "account": account,
        "service": state.service,
        "contact_phone": state.contact_phone,
        "organisation": state.organisation,
        "version": state.version,
        "banner": state.banner,
        "nonce": request.scope.get("fengping.nonce", ""),
        "csrf": session_csrf_token(request),
        "menu": menu_of(request, account),
        "big": "big" in look,
        "single_keys": "nokeys" not in look,
        "as_of": None,
        "failed": False,
        "layout": "layout.html" if account else "public.html",
    }
    values.update(context)
    # The macros see the page's own values (its tokens above all), inside blocks that are rendered
    # alone, too.
    jinja = state.templates
    values["ui"] = jinja.get_template("macros.html").make_module(values)
    return values


def menu_of(request: Request, account: Account | None) -> Menu | None:
    """The entries this person may use; None when nobody is signed in."""
    return menu_for(account.role, request.url.path) if account else None


def session_csrf_token(request: Request) -> str:
    """What a form of this session sends back; empty when no cookie session is there to be abused."""
    if not getattr(request.state, "account", None):
        return ""
    credential = read_credential(request, app_state(request).sessions.cookie)
    return csrf_token(credential.token) if credential and credential.from_cookie else ""


def preferences(request: Request) -> frozenset[str]:
    """How this person wants pages: `big` (大字), `nokeys` (单键快捷键关). Kept in a cookie, so
    every service sees them.
    """
    return frozenset(request.cookies.get(PREFERENCES_COOKIE, "").split(".")) & PREFERENCES


def save_preferences(response: Response, preferences: frozenset[str], *, https: bool) -> None:
    """Remember `preferences` for a year."""
    value = ".".join(sorted(preferences & PREFERENCES))
    response.set_cookie(
        PREFERENCES_COOKIE, value, max_age=365 * 86400, samesite="lax", secure=https, httponly=True
    )


# ── how values are shown ──────────────────────────────────────────────────────────────────────────


def _local_time(instant: datetime) -> datetime:
    assert instant.tzinfo is not None, "instants are aware; a naive one has lost its zone"
    return instant.astimezone(CHINA)


def _time_element(instant: datetime, shown: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(format_iso(instant), shown)


def format_datetime(instant: datetime) -> Markup:
    """`11-25 17:30 周三`: beside every badge."""
    local = _local_time(instant)
    return _time_element(instant, f"{local:%m-%d %H:%M} 周{WEEKDAYS[local.weekday()]}")


def format_long_datetime(instant: datetime) -> Markup:
    """`2026-11-22（周日）09:30`: where the year matters."""
    local = _local_time(instant)
    return _time_element(instant, f"{local:%Y-%m-%d}（周{WEEKDAYS[local.weekday()]}）{local:%H:%M}")


def format_date(instant: datetime) -> Markup:
    """`2026-11-22`: the civil date in China."""
    return _time_element(instant, f"{_local_time(instant):%Y-%m-%d}")


def format_time(instant: datetime) -> Markup:
    """`14:05:07`: for 数据截至."""
    return _time_element(instant, f"{_local_time(instant):%H:%M:%S}")


def format_iso(instant: datetime) -> str:
    """The instant for machines, UTC."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_number(number: float, decimals: int = 0) -> str:
    """`12,345.60`."""
    return f"{number:,.{decimals}f}"


def query_string(values: Mapping[str, Any], **changes: Any) -> str:
    """The query string with some values changed; None and empty ones are left out."""
    kept = {name: value for name, value in {**values, **changes}.items() if value not in (None, "")}
    return "?" + urlencode(kept, doseq=True) if kept else "?"


def install_templates(app: FastAPI, *, service: str, folder: Path | None) -> None:
    """Give `app` its templates and its name in the menu."""
    app.state.templates = create_environment(folder)
    app.state.service = service
