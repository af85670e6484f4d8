"""What the pages of all four services stand on: doors, pages, forms, one look.

A service's `pages.py` and `api.py` need:

    door = Door(prefix="/casework")

    @door.get("/cases/{number}", policy=allow(Role.HANDLER, Role.SUPERVISOR))
    async def case_page(request: Request, tx: Tx, who: Who, number: str) -> Response:
        return page(request, "case.html", case=await store.case(tx, number, who))

    @door.post("/cases/{number}/acceptance", policy=allow(Role.HANDLER))
    async def accept(request: Request, tx: Tx, who: Who, once: Once, number: str) -> Response:
        return await once.redirect(actions.accept_case(tx, number=number, by=who), to=f"/casework/cases/{number}")

    @door.post("/api/cases/{number}/acceptance", policy=allow(Role.HANDLER), status_code=201)
    async def accept_by_api(tx: Tx, who: Who, once: Once, number: str) -> Response:
        return await once(201, actions.accept_case(tx, number=number, by=who))

The service's `app.py` calls `install(app, …)` once, and `check_policies(app)` before it serves.
"""

from pathlib import Path

from fastapi import FastAPI

from shared.foundation.settings import Settings
from shared.web.errors import (
    Failure,
    Forbidden,
    NotFound,
    TooLarge,
    TooOften,
    Unavailable,
    install_errors,
)
from shared.web.forms import Form, Problem, read_form
from shared.web.headers import Envelope
from shared.web.idempotency import Once, forget_keys
from shared.web.navigation import Entry, Hit, hits, matches, spelt
from shared.web.rendering import (
    fragment,
    htmx,
    install_templates,
    keep_preferences,
    page,
    preferences,
    see_other,
)
from shared.web.routing import (
    Door,
    Tx,
    Unlabelled,
    Visitor,
    Who,
    check_policies,
    hold_back,
    routes_of,
    source_of,
)
from shared.web.static_files import install_static, static_url

__all__ = [
    "Door",
    "Entry",
    "Failure",
    "Forbidden",
    "Form",
    "Hit",
    "NotFound",
    "Once",
    "Problem",
    "TooLarge",
    "TooOften",
    "Tx",
    "Unavailable",
    "Unlabelled",
    "Visitor",
    "Who",
    "check_policies",
    "forget_keys",
    "fragment",
    "hits",
    "hold_back",
    "htmx",
    "install",
    "keep_preferences",
    "matches",
    "page",
    "preferences",
    "read_form",
    "routes_of",
    "see_other",
    "source_of",
    "spelt",
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
    app.state.idle_minutes, app.state.notice = settings.session_idle_minutes, settings.banner
    install_templates(app, service=service, folder=templates)
    install_static(app)
    install_errors(app)
    app.add_middleware(Envelope, https=settings.https)
