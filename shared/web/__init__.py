"""The web layer of all services: routing, forms, idempotency, errors, rendering, navigation.

Routes in a service's `pages/` and `api/`:

    router = Router(prefix="/casework")

    @router.get("/cases/{number}", policy=allow(Role.HANDLER, Role.SUPERVISOR))
    async def case_page(request: Request, tx: Tx, user: CurrentUser, number: str) -> Response:
        return render_page(request, "case.html", case=await views.case(tx, number, by=user))

    @router.post("/cases/{number}/acceptance", policy=allow(Role.HANDLER))
    async def accept(tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str) -> Response:
        action = actions.accept_case(tx, number=number, by=user)
        return await idempotency.redirect(action, to=f"/casework/cases/{number}")

`shared.runtime.service` calls `install` and, before it serves, `check_policies`.
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
from shared.web.error_responses import install_errors
from shared.web.errors import (
    BodyTooLarge,
    Failure,
    Forbidden,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from shared.web.field_errors import FieldError
from shared.web.forms import Form, read_form
from shared.web.headers import RequestMiddleware
from shared.web.idempotency import CoalescedIdempotency, Idempotency
from shared.web.idempotency_store import delete_expired_keys
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
from shared.web.static_files import install_static, static_folder, static_url

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
    "static_folder",
    "static_url",
]


def install(
    app: FastAPI,
    *,
    service: str,
    settings: Settings,
    version: str,
    templates: Path | None = None,
) -> None:
    """Install templates, static files, error handlers and security headers.

    `templates` is the service's own folder. `shared.runtime.service` sets the other values of
    `app.state`.
    """
    app.state.contact_phone = settings.contact_phone
    app.state.organisation = settings.organisation
    app.state.version = version
    app.state.idle_minutes = settings.session_idle_minutes
    app.state.banner = settings.banner
    install_templates(app, service=service, folder=templates)
    install_static(app, templates and static_folder(templates))
    install_errors(app)
    app.add_middleware(RequestMiddleware, https=settings.https)
