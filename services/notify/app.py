"""Builds the service notify."""

from pathlib import Path
from uuid import UUID

from services.notify import api, handlers, jobs, pages
from services.notify.settings import NotifyContext, NotifySettings
from services.notify.store.sealed_tables import SEALED_TABLES
from services.notify.transports import Transports
from shared.appraisal.calendar.holiday_notices import china
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.keyring import KeyRing
from shared.security.master_keys import SealedData
from shared.security.service_keys import service_keys


def build(
    settings: Settings,
    *,
    own: NotifySettings | None = None,
    run_jobs: bool = True,
) -> Service:
    """Return the service. `own` replaces the settings of notify from the environment."""
    context = build_context(settings, own or NotifySettings())
    return Service(
        name="notify",
        title="通知",
        settings=settings,
        routers=[*pages.routers, *api.routers],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        sealed=SealedData(context.ring, SEALED_TABLES),
        templates=Path(__file__).parent / "templates",
        prefixes=("/notify",),
        run_jobs=run_jobs,
        relay_linger_seconds=0.1,
    )


def build_context(settings: Settings, own: NotifySettings) -> NotifyContext:
    """Return what actions and views find at `tx.context`."""
    ring = service_keys("notify", settings).ring
    return NotifyContext(
        ring=ring,
        calendar=china(),
        transports=_transports(settings, own, ring),
        public_url=settings.site_url,
        retry_delays_seconds=own.retry_delays_seconds,
        failure_cooldown_seconds=own.failure_cooldown_seconds,
        retention_days=own.retention_days,
    )


def _transports(
    settings: Settings,
    own: NotifySettings,
    ring: KeyRing,
) -> Transports:
    def signing_key(subscription_id: UUID) -> bytes:
        return ring.derive_key(f"webhook/{subscription_id}")

    policy = own.outbound_policy(allow_private=settings.environment != "production")
    return Transports(policy, signing_key)
