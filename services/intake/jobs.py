"""Scheduled jobs of intake: integrity and release of ballots, hand-over of visits, retention,
reconciliation.
"""

from services.intake.actions import (
    ballot_release,
    hand_over,
    integrity,
    reconciliation,
    retention,
)
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=1)
async def release_ballots(tx: Transaction) -> bool:
    """Examine waiting ballots, then release those that are not suspicious."""
    await integrity.examine_batches(tx)
    return await ballot_release.release_ballots(tx)


@jobs(seconds=2)
async def hand_over_visits(tx: Transaction) -> bool:
    return await hand_over.hand_over_due(tx)


@jobs(seconds=300)
async def delete_abandoned(tx: Transaction) -> bool:
    return await retention.delete_abandoned(tx)


@jobs(seconds=3600)
async def erase_complainant_data(tx: Transaction) -> bool:
    return await retention.erase_complainant_data(tx)


@jobs(seconds=3600)
async def delete_tracks(tx: Transaction) -> bool:
    return await retention.delete_tracks(tx)


jobs(seconds=300, transactional=False)(reconciliation.reconcile_nightly)
