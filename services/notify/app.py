"""Notify, put together."""

from pathlib import Path

from services.notify import api, handlers, jobs, pages
from services.notify.actions import Context
from services.notify.settings import NotifySettings
from services.notify.transports import Transports
from shared.appraisal.calendar.holiday_notices import china
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.keyring import KeyRing


def build(
    settings: Settings, *, own: NotifySettings | None = None, run_jobs: bool = True
) -> Service:
    """The service. `own` replaces the settings of notify that the environment gives."""
    return Service(
        name="notify",
        title="通知",
        settings=settings,
        routers=[pages.router, api.router],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context_of(settings, own or NotifySettings()),
        templates=Path(__file__).parent / "templates",
        prefixes=("/notify",),
        run_jobs=run_jobs,
        relay_linger_seconds=0.1,
    )


def context_of(settings: Settings, own: NotifySettings) -> Context:
    """What the actions find at `tx.context`."""
    ring = KeyRing.load_or_create(settings.keyring)
    reach = own.reach(trusting=settings.environment != "production")
    return Context(
        ring=ring,
        calendar=china(),
        transports=Transports(
            reach, lambda subscription_id: ring.derive_key(f"webhook/{subscription_id}")
        ),
        public_url=own.public_url or f"http://{settings.host}:{settings.port}",
        pauses_seconds=own.pauses_seconds,
        rest_seconds=own.rest_seconds,
        keep_days=own.keep_days,
    )
