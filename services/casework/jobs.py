"""Scheduled jobs: lapses, warnings, resumptions, gauges."""

from services.casework.actions import pauses, sweeps
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=0.5)
async def lapse_deadlines(tx: Transaction) -> bool:
    return await sweeps.publish_lapses(tx)


@jobs(seconds=1.0)
async def warn_deadlines(tx: Transaction) -> bool:
    return await sweeps.publish_warnings(tx)


@jobs(seconds=30.0)
async def resume_cases(tx: Transaction) -> bool:
    return await pauses.resume_due_cases(tx)


@jobs(seconds=15.0)
async def count_cases(tx: Transaction) -> bool:
    return await sweeps.update_gauges(tx)
