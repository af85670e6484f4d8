"""Casework as a service: settings read, context made, doors hung."""

from pathlib import Path

from services.casework import api, handlers, jobs, pages
from services.casework.settings import CaseworkSettings
from services.casework.store import Context
from shared.foundation.settings import Settings
from shared.runtime.service import Service

PREFIXES = ("/casework",)


def build(
    settings: Settings, *, own: CaseworkSettings | None = None, run_jobs: bool = True
) -> Service:
    """The service, ready to be served. `own`: casework's settings, read from the environment when
    not given.
    """
    own = own or CaseworkSettings()
    context = Context(sweep_batch=own.sweep_batch, page_rows=own.page_rows)
    return Service(
        name="casework",
        title="办理",
        settings=settings,
        routers=[*pages.routers, api.router],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        templates=Path(__file__).parent / "templates",
        prefixes=PREFIXES,
        run_jobs=run_jobs,
    )
