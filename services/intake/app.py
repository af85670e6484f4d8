"""The intake service: wires routes, handlers, jobs and context."""

from pathlib import Path
from typing import Final

from services.intake import api, handlers, jobs, pages
from services.intake.settings import IntakeContext
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.keyring import KeyRing

PREFIXES: Final = ("/intake", "/p", "/s", "/login", "/logout", "/me", "/palette", "/static", "/")
"""`/` is the home page and every path that no other service serves."""


def build(settings: Settings) -> Service:
    """Return the intake service. Its key ring is created if it does not exist."""
    context = IntakeContext(settings, KeyRing.load_or_create(settings.keyring))
    service = Service(
        name="intake",
        title="受理",
        settings=settings,
        routers=[*api.routers, *pages.routers],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        templates=Path(__file__).parent / "templates",
        prefixes=PREFIXES,
    )
    context.sessions = service.sessions
    return service
