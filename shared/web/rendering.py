"""Rendering of pages and fragments: one Jinja2 environment per service.

A service's own templates come before the shared ones. Undefined names raise (StrictUndefined) and
text is always escaped. What every page needs, such as the account, the menu and the tokens of its
forms, is added by `base_context`.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.appraisal.calendar.deadlines import DeadlineStatus, due_label
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.security.sessions import csrf_token, read_credential
from shared.web.app_state import app_state
from shared.web.day_precision import sees_minutes
from shared.web.navigation import Menu, menu_for
from shared.web.spoken_dates import WEEKDAYS
from shared.web.static_files import STATIC, static_folder, static_url

TEMPLATES: Final = Path(__file__).parent / "templates"
PREFERENCES_COOKIE: Final = "fengping_look"
PREFERENCES: Final = frozenset({"big", "nokeys"})


def create_environment(folder: Path | None) -> Environment:
    """Return the templates of one service. `folder` is its `templates/`."""
    folders = [folder, TEMPLATES] if folder else [TEMPLATES]
    jinja = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        format_datetime=_for_reader(format_datetime, format_day),
        format_long_datetime=_for_reader(format_long_datetime, format_long_day),
        format_date=_for_reader(format_date, _format_civil_date),
        format_due=due_label,
        format_time=format_time,
        format_iso=format_iso,
        format_number=format_number,
        query_string=query_string,
    )
    jinja.globals["deadline_badges"] = DEADLINE_BADGES
    own_static = static_folder(folder) if folder else STATIC
    jinja.globals.update(
        static=lambda name: static_url(name, own_static), new_key=lambda: str(uuid4())
    )
    return jinja


def render_page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a whole page as HTML."""
    jinja = app_state(request).templates
    values = base_context(request, context)
    return HTMLResponse(jinja.get_template(template).render(values), status)


def render_fragment(
    request: Request, template: str, block: str, status: int = 200, **context: Any
) -> HTMLResponse:
    """Return one `{% block %}` of a template, with which htmx replaces the old one.

    Raises KeyError if the template has no such block.
    """
    jinja = app_state(request).templates
    found = jinja.get_template(template)
    return HTMLResponse(
        "".join(found.blocks[block](found.new_context(base_context(request, context)))), status
    )


def redirect(request: Request, url: str) -> Response:
    """Redirect to `url` after a write: 303 for a plain form, `HX-Redirect` for htmx.

    The address bar is right in both cases.
    """
    if is_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=303)


def is_htmx(request: Request) -> bool:
    """Return whether htmx sent the request and expects a fragment."""
    return request.headers.get("hx-request") == "true"


def base_context(request: Request, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return `context` with what the layout needs."""
    state = app_state(request)
    account: Account | None = getattr(request.state, "account", None)
    _shows_minutes.set(sees_minutes(account))
    look = preferences(request)
    values: dict[str, Any] = {
        "request": request,
        "account": account,
        "service": state.service,
        "contact_phone": state.contact_phone,
        "organisation": state.organisation,
        "version": state.version,
        "banner": state.banner,
        "idle_minutes": state.idle_minutes,
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
    # Macros see the values of the page, also inside a block that is rendered alone.
    jinja = state.templates
    values["ui"] = jinja.get_template("macros.html").make_module(values)
    return values


def menu_of(request: Request, account: Account | None) -> Menu | None:
    """Return the menu of the account's role, or None without an account."""
    return menu_for(account.role, request.url.path) if account else None


def session_csrf_token(request: Request) -> str:
    """Return the CSRF token of a cookie session, or "" without one."""
    if not getattr(request.state, "account", None):
        return ""
    credential = read_credential(request, app_state(request).sessions.cookie)
    return csrf_token(credential.token) if credential and credential.from_cookie else ""


def preferences(request: Request) -> frozenset[str]:
    """Return the display preferences: `big` (大字), `nokeys` (单键快捷键关).

    A cookie stores them, so that every service sees them.
    """
    return frozenset(request.cookies.get(PREFERENCES_COOKIE, "").split(".")) & PREFERENCES


def save_preferences(
    response: Response,
    preferences: frozenset[str],
    *,
    https: bool,
) -> None:
    """Store `preferences` in a cookie for a year."""
    value = ".".join(sorted(preferences & PREFERENCES))
    response.set_cookie(
        PREFERENCES_COOKIE,
        value,
        max_age=365 * 86400,
        samesite="lax",
        secure=https,
        httponly=True,
    )


# ── filters ───────────────────────────────────────────────────────────────────────────────────────


def _local_time(instant: datetime) -> datetime:
    assert instant.tzinfo is not None, "instants are aware"
    return instant.astimezone(CHINA)


def _time_element(instant: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(format_iso(instant), text)


def format_datetime(instant: datetime) -> Markup:
    """Return `11-25 17:30 周三`."""
    local = _local_time(instant)
    return _time_element(instant, f"{local:%m-%d %H:%M} 周{WEEKDAYS[local.weekday()]}")


def format_long_datetime(instant: datetime) -> Markup:
    """Return `2026-11-22（周日）09:30`."""
    local = _local_time(instant)
    return _time_element(instant, f"{local:%Y-%m-%d}（周{WEEKDAYS[local.weekday()]}）{local:%H:%M}")


def format_date(instant: datetime) -> Markup:
    """Return `2026-11-22`, the civil date in China."""
    return _time_element(instant, f"{_local_time(instant):%Y-%m-%d}")


def _format_civil_date(instant: datetime) -> Markup:
    day = _local_time(instant).date()
    return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), day.isoformat())


def format_time(instant: datetime) -> Markup:
    """Return `14:05:07`."""
    return _time_element(instant, f"{_local_time(instant):%H:%M:%S}")


def format_iso(instant: datetime) -> str:
    """Return `2026-11-22T01:30:00Z`."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_day(instant: datetime) -> Markup:
    """Return `11-25 周三`: what units see of an instant, also in the attribute."""
    day = _local_time(instant).date()
    markup = '<time datetime="{}">{}</time>'
    return Markup(markup).format(day.isoformat(), f"{day:%m-%d} 周{WEEKDAYS[day.weekday()]}")


def format_long_day(instant: datetime) -> Markup:
    """Return `2026-11-22（周日）`: what units see of an instant, also in the attribute."""
    day = _local_time(instant).date()
    markup = '<time datetime="{}">{}</time>'
    return Markup(markup).format(day.isoformat(), f"{day:%Y-%m-%d}（周{WEEKDAYS[day.weekday()]}）")


_shows_minutes: Final = ContextVar("shows_minutes", default=False)
"""Whether the page being rendered may show minutes. Macros that are imported without the context of
the page read it too.
"""


def _for_reader(
    exact: Callable[[datetime], str], in_days: Callable[[datetime], str]
) -> Callable[[datetime], str]:
    """Return the filter that shows an instant as the reader of the page may see it."""

    def shown(instant: datetime) -> str:
        return exact(instant) if _shows_minutes.get() else in_days(instant)

    return shown


def format_number(number: float, decimals: int = 0) -> str:
    """Return `12,345.60`."""
    return f"{number:,.{decimals}f}"


def query_string(values: Mapping[str, Any], **changes: Any) -> str:
    """Return the query string of `values` with `changes`, without None and empty values."""
    kept = {name: value for name, value in {**values, **changes}.items() if value not in (None, "")}
    return "?" + urlencode(kept, doseq=True) if kept else "?"


DEADLINE_BADGES: Final = {
    "normal": ("ok", DeadlineStatus.NORMAL.label),
    "near": ("warn", DeadlineStatus.WARNING.label),
    "over": ("over", DeadlineStatus.LATE.label),
    "grave": ("over", DeadlineStatus.SEVERE.label),
    "paused": ("hold", DeadlineStatus.PAUSED.label),
    "closed": ("done", DeadlineStatus.CLOSED.label),
}
"""Name of a deadline's badge → its look, as in `ui.status`, and its label."""


def install_templates(
    app: FastAPI,
    *,
    service: str,
    folder: Path | None,
) -> None:
    """Set the templates and the name of a service."""
    app.state.templates = create_environment(folder)
    app.state.service = service
