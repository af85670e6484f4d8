"""What notify does as time passes."""

from services.notify import actions
from shared.runtime.jobs import Jobs
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

SENDER_WORKERS = 4
"""Sender workers of one process: one that waits for a slow host does not hold up the others."""

jobs = Jobs()


@jobs(seconds=1.0)
async def escalate(tx: Transaction) -> bool:
    return await actions.escalate(tx)


async def send_pending(database: Database, context: actions.Context) -> bool:
    return await actions.send_pending(database, context)


for _ in range(SENDER_WORKERS):
    jobs(seconds=1.0, transactional=False)(send_pending)


@jobs(seconds=3600.0)
async def forget_notifications(tx: Transaction) -> bool:
    return await actions.forget_notifications(tx)
