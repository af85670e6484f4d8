"""The intake service, put together."""

from pathlib import Path

from services.intake import api, handlers, jobs, pages
from services.intake.settings import IntakeContext
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.keyring import KeyRing

PREFIXES = ("/intake", "/p", "/s", "/login", "/logout", "/me", "/palette", "/static", "/")
"""`/` is the home page and whatever no other service answers."""


def build(settings: Settings) -> Service:
    """Intake with these settings; its key ring is made on first use."""
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
