"""What time brings: deadlines near and lapsed, clocks that go on, gauges."""

from services.casework.actions import deadlines, handling
from shared.runtime.jobs import Ticks
from shared.storage.transaction import Transaction

every = Ticks()


@every(seconds=0.5)
async def lapse_deadlines(tx: Transaction) -> bool:
    return await deadlines.tell_lapsed(tx)


@every(seconds=1.0)
async def warn_deadlines(tx: Transaction) -> bool:
    return await deadlines.tell_near(tx)


@every(seconds=30.0)
async def resume_cases(tx: Transaction) -> bool:
    return await handling.resume_due(tx)


@every(seconds=15.0)
async def count_cases(tx: Transaction) -> bool:
    return await deadlines.count_open(tx)
