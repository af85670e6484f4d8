"""Resending: a consumer asks the owner of an aggregate for versions that it misses."""

from datetime import datetime
from typing import Any

from shared.appraisal.events import OWNERS, ResendRequested
from shared.foundation.telemetry import log
from shared.messaging.envelope import unprefixed_topic
from shared.messaging.store import buffered_events, outbox
from shared.messaging.store.buffered_events import VersionGap
from shared.storage.transaction import Transaction, new_id

RESEND_AFTER_SECONDS = 2.0
"""An early event is buffered this long before its predecessor is requested."""


async def request_missing(
    tx: Transaction, *, older_than_seconds: float = RESEND_AFTER_SECONDS
) -> int:
    """Ask the owners of buffered aggregates to resend missing versions; return how many."""
    gaps = await buffered_events.gaps(tx, older_than_seconds=older_than_seconds)
    for gap in gaps:
        tx.publish(_request_for(gap, tx.now))
        await buffered_events.note_resend_request(tx, gap.topic, gap.key)
        log.warning(
            "predecessor missing, resend requested",
            topic=gap.topic,
            aggregate=gap.key,
            version=gap.from_version,
        )
    return len(gaps)


def _request_for(gap: VersionGap, now: datetime) -> ResendRequested:
    return ResendRequested(
        occurred_at=now,
        request_id=new_id(),
        wanted_topic=unprefixed_topic(gap.topic),
        wanted_key=gap.key,
        from_version=gap.from_version,
        to_version=gap.to_version,
    )


async def resend(
    tx: Transaction,
    event: ResendRequested,
    _: Any,
) -> None:
    """Handle a resend request: mark the versions of our aggregate unpublished."""
    if OWNERS.get(event.wanted_topic) == tx.service:
        await outbox.mark_unpublished(
            tx,
            event.wanted_topic,
            event.wanted_key,
            from_version=event.from_version,
            to_version=event.to_version,
        )
