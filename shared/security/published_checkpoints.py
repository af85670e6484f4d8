"""Publishes checkpoints of an audit log to Kafka, where the database's owner cannot remove them."""

from datetime import timedelta
from typing import Final

from shared.appraisal.events import CheckpointPublished
from shared.security.audit import Verifier
from shared.security.checkpoints import newest_checkpoint
from shared.storage.transaction import Transaction

PUBLISH_INTERVAL: Final = timedelta(hours=1)


async def publish_checkpoint(tx: Transaction, verifier: Verifier) -> None:
    """Publish the newest checkpoint of this schema's log, once an hour, if the log has changed."""
    newest = await newest_checkpoint(tx, verifier.origin)
    if newest is None or not await _is_due(tx, verifier.origin, newest.size):
        return
    note = verifier.note(newest)
    tx.publish(
        CheckpointPublished(occurred_at=tx.now, origin=verifier.origin, size=newest.size, note=note)
    )


async def _is_due(tx: Transaction, origin: str, size: int) -> bool:
    last = await tx.fetchrow(_LAST_PUBLISHED, CheckpointPublished.topic, origin)
    if last is None:
        return True
    return bool(last["size"] != size and last["occurred_at"] <= tx.now - PUBLISH_INTERVAL)


_LAST_PUBLISHED: Final = """
select occurred_at, (convert_from(body, 'utf8')::jsonb ->> 'size')::bigint as size
from outbox where topic = $1 and key = $2 order by version desc limit 1
"""
