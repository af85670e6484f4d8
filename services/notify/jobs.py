"""What notify does as time passes."""

from services.notify import actions
from shared.runtime.jobs import Jobs
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

COURIERS = 4
"""Couriers of one process: one that waits for a slow host does not hold up the others."""

jobs = Jobs()


@jobs(seconds=1.0)
async def escalate(tx: Transaction) -> bool:
    return await actions.escalate(tx)


async def send_due(database: Database, context: actions.Context) -> bool:
    return await actions.send_due(database, context)


for _ in range(COURIERS):
    jobs(seconds=1.0, transactional=False)(send_due)


@jobs(seconds=3600.0)
async def forget_notices(tx: Transaction) -> bool:
    return await actions.forget_notices(tx)
