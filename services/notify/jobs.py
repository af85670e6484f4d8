"""Scheduled jobs of notify."""

from services.notify.actions import delivery, escalation, retention
from services.notify.settings import NotifyContext
from shared.runtime.jobs import Jobs
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

SENDER_WORKERS = 4
"""Sender workers per process: while one waits for a slow host, the others continue."""

jobs = Jobs()


@jobs(seconds=1.0)
async def escalate(tx: Transaction) -> bool:
    return await escalation.escalate(tx)


async def send_pending(database: Database, context: NotifyContext) -> bool:
    return await delivery.send_pending(database, context)


for _ in range(SENDER_WORKERS):
    jobs(seconds=1.0, transactional=False)(send_pending)


@jobs(seconds=3600.0)
async def delete_expired_notifications(tx: Transaction) -> bool:
    return await retention.delete_expired(tx)
