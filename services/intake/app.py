"""The intake service: wires routes, handlers, jobs and context."""

from pathlib import Path
from typing import Final

from services.intake import api, handlers, jobs, pages
from services.intake.actions.approval_kinds import APPROVAL_KINDS
from services.intake.domain.second_factors import PENDING_SECONDS, PendingSignIn
from services.intake.pages.oidc import CALLBACK_PATH
from services.intake.settings import IntakeContext
from services.intake.store.cast_counters import CastCounters
from services.intake.store.evidence import evidence_of
from services.intake.store.sealed_tables import SEALED_TABLES
from services.intake.views.audit_names import DIRECTORY
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.master_keys import SealedData
from shared.security.oidc import IdentityProvider, OidcSettings, PendingRequest
from shared.security.service_keys import service_keys
from shared.security.token_store import TokenStore

PREFIXES: Final = ("/intake", "/p", "/s", "/login", "/logout", "/me", "/palette", "/static", "/")
"""`/` is the home page and every path that no other service serves."""


def build(settings: Settings) -> Service:
    """Return the intake service. Raises InvalidKeyRing without its keys."""
    context = IntakeContext(settings, service_keys("intake", settings).ring)
    service = Service(
        name="intake",
        title="受理",
        settings=settings,
        routers=[*api.routers, *pages.routers],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        sealed=SealedData(context.ring, SEALED_TABLES),
        audit_directory=DIRECTORY,
        approval_kinds=APPROVAL_KINDS,
        templates=Path(__file__).parent / "templates",
        prefixes=PREFIXES,
        evidence=evidence_of,
    )
    context.sessions = service.sessions
    context.pending_sign_ins = TokenStore(
        service.redis,
        name="sign-in",
        record_type=PendingSignIn,
        seconds=PENDING_SECONDS,
    )
    _add_identity_provider(context, service)
    if settings.source_checks == "active":
        secret = context.ring.derive_key("cast-source")
        context.cast_counters = CastCounters(service.redis, secret=secret)
    return service


def _add_identity_provider(context: IntakeContext, service: Service) -> None:
    """Let staff sign in through the identity provider that the settings name, if they do."""
    settings = OidcSettings()
    if not settings.issuer:
        return
    redirect_uri = context.settings.site_url + CALLBACK_PATH
    context.identity_provider = IdentityProvider(settings, redirect_uri=redirect_uri)
    context.pending_requests = TokenStore(
        service.redis,
        name="oidc",
        record_type=PendingRequest,
        seconds=PENDING_SECONDS,
    )
