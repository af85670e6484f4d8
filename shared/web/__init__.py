"""What the pages of all four services stand on: doors, pages, forms, one look.

A service's `pages.py` and `api.py` need:

    router = Router(prefix="/casework")

    @router.get("/cases/{number}", policy=allow(Role.HANDLER, Role.SUPERVISOR))
    async def case_page(request: Request, tx: Tx, user: CurrentUser, number: str) -> Response:
        return render_page(request, "case.html", case=await store.case(tx, number, user))

    @router.post("/cases/{number}/acceptance", policy=allow(Role.HANDLER))
    async def accept(request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str) -> Response:
        return await idempotency.redirect(actions.accept_case(tx, number=number, by=user), to=f"/casework/cases/{number}")

    @router.post("/api/cases/{number}/acceptance", policy=allow(Role.HANDLER), status_code=201)
    async def accept_by_api(tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str) -> Response:
        return await idempotency.respond(201, actions.accept_case(tx, number=number, by=user))

The service's `app.py` calls `install(app, …)` once, and `check_policies(app)` before it serves.
"""

from pathlib import Path

from fastapi import FastAPI

from shared.foundation.settings import Settings
from shared.web.dependencies import (
    CurrentUser,
    Limiter,
    OptionalUser,
    Transactions,
    Tx,
    client_network,
    enforce_rate_limit,
)
from shared.web.errors import (
    BodyTooLarge,
    Failure,
    Forbidden,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    install_errors,
)
from shared.web.forms import FieldError, Form, read_form
from shared.web.headers import RequestMiddleware
from shared.web.idempotency import CoalescedIdempotency, Idempotency, delete_expired_keys
from shared.web.navigation import (
    MenuEntry,
    PaletteResult,
    matches_search,
    palette_results,
    search_terms,
)
from shared.web.rendering import (
    install_templates,
    is_htmx,
    preferences,
    redirect,
    render_fragment,
    render_page,
    save_preferences,
)
from shared.web.routing import MissingPolicy, Router, check_policies, list_routes
from shared.web.static_files import install_static, static_url

__all__ = [
    "BodyTooLarge",
    "CoalescedIdempotency",
    "CurrentUser",
    "Failure",
    "FieldError",
    "Forbidden",
    "Form",
    "Idempotency",
    "Limiter",
    "MenuEntry",
    "MissingPolicy",
    "NotFound",
    "OptionalUser",
    "PaletteResult",
    "Router",
    "ServiceUnavailable",
    "TooManyRequests",
    "Transactions",
    "Tx",
    "check_policies",
    "client_network",
    "delete_expired_keys",
    "enforce_rate_limit",
    "install",
    "is_htmx",
    "list_routes",
    "matches_search",
    "palette_results",
    "preferences",
    "read_form",
    "redirect",
    "render_fragment",
    "render_page",
    "save_preferences",
    "search_terms",
    "static_url",
]


def install(
    app: FastAPI, *, service: str, settings: Settings, version: str, templates: Path | None = None
) -> None:
    """Give a service its look and its manners: templates, static files, errors, security headers.

    `templates`: the service's own folder. `app.state.sessions`, `.database` and `.context` are set
    by the service's core before the first request.
    """
    app.state.contact_phone, app.state.organisation, app.state.version = (
        settings.contact_phone,
        settings.organisation,
        version,
    )
    app.state.idle_minutes, app.state.banner = settings.session_idle_minutes, settings.banner
    install_templates(app, service=service, folder=templates)
    install_static(app)
    install_errors(app)
    app.add_middleware(RequestMiddleware, https=settings.https)
