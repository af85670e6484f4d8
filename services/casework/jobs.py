"""What time brings: deadlines near and lapsed, deadlines that resume, gauges."""

from services.casework.actions import deadlines, handling
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=0.5)
async def lapse_deadlines(tx: Transaction) -> bool:
    return await deadlines.tell_lapsed(tx)


@jobs(seconds=1.0)
async def warn_deadlines(tx: Transaction) -> bool:
    return await deadlines.tell_near(tx)


@jobs(seconds=30.0)
async def resume_cases(tx: Transaction) -> bool:
    return await handling.resume_due(tx)


@jobs(seconds=15.0)
async def count_cases(tx: Transaction) -> bool:
    return await deadlines.count_open(tx)
