"""Scoring, put together."""

from pathlib import Path

from services.scoring import api, handlers, jobs, pages
from services.scoring.settings import BOARD_SECONDS, Context, ScoringSettings
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.storage.leaderboard import Leaderboard


def build(
    settings: Settings, *, own: ScoringSettings | None = None, run_jobs: bool = True
) -> Service:
    """The service, ready to be served. `own`: scoring's settings, read from the environment when
    not given.
    """
    context = Context(sizes=own or ScoringSettings())
    service = Service(
        name="scoring",
        title="评分",
        settings=settings,
        routers=[*pages.routers, api.router],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        templates=Path(__file__).parent / "templates",
        prefixes=("/scoring",),
        run_jobs=run_jobs,
        relay_linger_seconds=0.1,
    )
    context.boards = Leaderboard(service.redis, lifetime_seconds=BOARD_SECONDS)
    return service
