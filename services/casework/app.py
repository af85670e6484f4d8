"""The casework service, put together."""

from pathlib import Path

from services.casework import api, handlers, jobs, pages
from services.casework.domain.states import AUDIT_LABELS
from services.casework.settings import CaseworkSettings
from services.casework.store import CaseworkContext
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.audit_reading import AuditDirectory

PREFIXES = ("/casework",)


def build(
    settings: Settings,
    *,
    own: CaseworkSettings | None = None,
    run_jobs: bool = True,
) -> Service:
    """Return the service. `own` are casework's settings, read from the environment by default."""
    own = own or CaseworkSettings()
    return Service(
        name="casework",
        title="办理",
        settings=settings,
        routers=[*pages.routers, *api.routers],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=CaseworkContext(sweep_batch=own.sweep_batch, page_rows=own.page_rows),
        templates=Path(__file__).parent / "templates",
        prefixes=PREFIXES,
        audit_directory=AuditDirectory(actions=AUDIT_LABELS),
        run_jobs=run_jobs,
    )
