"""Scheduled jobs: rescore units, publish changed scores, recount every campaign nightly."""

from services.scoring.actions.publishing import publish_scores
from services.scoring.actions.recounts import recount_overdue
from services.scoring.actions.rescoring import rescore_pending
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=0.2)
async def rescore(tx: Transaction) -> bool:
    """Score units that wait for it."""
    return await rescore_pending(tx)


@jobs(seconds=0.25)
async def publish(tx: Transaction) -> bool:
    """Publish changed scores."""
    return await publish_scores(tx)


@jobs(seconds=60)
async def recount(tx: Transaction) -> bool:
    """Recount a campaign whose recount is due."""
    return await recount_overdue(tx)
