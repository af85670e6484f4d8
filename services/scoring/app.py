"""Wires the scoring service."""

from pathlib import Path

from services.scoring import api, handlers, jobs, pages
from services.scoring.actions.approval_kinds import APPROVAL_KINDS
from services.scoring.settings import LEADERBOARD_SECONDS, ScoringContext, ScoringSettings
from services.scoring.store.evidence import MANUAL_LINES, evidence_of
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.storage.leaderboard import Leaderboard


def build(
    settings: Settings,
    *,
    own: ScoringSettings | None = None,
    run_jobs: bool = True,
) -> Service:
    """Build the service. `own`: scoring's settings, by default read from the environment."""
    context = ScoringContext(settings=own or ScoringSettings())
    service = Service(
        name="scoring",
        title="评分",
        settings=settings,
        routers=[*pages.routers, *api.routers],
        handlers=handlers.on,
        jobs=jobs.jobs,
        context=context,
        templates=Path(__file__).parent / "templates",
        prefixes=("/scoring",),
        run_jobs=run_jobs,
        input_streams=(MANUAL_LINES,),
        evidence=evidence_of,
        approval_kinds=APPROVAL_KINDS,
        relay_linger_seconds=0.1,
    )
    context.leaderboard = Leaderboard(service.redis, lifetime_seconds=LEADERBOARD_SECONDS)
    return service
