"""A score follows from events of their owners: no forgery changes it."""

from datetime import UTC, datetime
from itertools import count

import pytest

from services.scoring.handlers import on
from shared.appraisal.events import OWNERS, Event, encode
from shared.messaging.batches import read_all
from shared.messaging.envelope import write_headers
from shared.messaging.processor import BatchProcessor
from shared.messaging.store.records import StoredRecord
from shared.storage.transaction import new_id
from tests.event_signing import signed, signer_in, verifier_of
from tests.scoring.factories import UNITS, Case, ballot

pytestmark = pytest.mark.stack
_offsets = count()


def headers_of(event: Event, source: str):
    return write_headers(
        event_id=new_id(),
        service=source,
        type=event.name,
        key=event.key,
        version=1,
        occurred_at=event.occurred_at,
        created_at=datetime.now(UTC),
        trace=None,
    )


def record(settings, event, headers, body=None):
    topic = settings.topic_prefix + event.topic
    key = event.key.encode()
    return StoredRecord(topic, 0, next(_offsets), key, body or encode(event), headers)


def genuine(settings, event):
    """The event as its owner publishes it."""
    headers = headers_of(event, OWNERS[event.topic])
    return record(settings, event, signed(settings, event.topic, event.key, headers, encode(event)))


def forgeries(settings, event, another):
    """The event as an intruder would write it: four ways, each with what he could have."""
    owner = OWNERS[event.topic]
    as_owner = headers_of(event, owner)
    yield record(settings, event, as_owner)
    signer = signer_in(settings.keys_of("notify"), "notify")
    signer.refresh()
    resends = settings.topic_prefix + "resends"
    with_own_key = signer.sign(resends, event.key.encode(), as_owner, encode(event))
    yield record(settings, event, with_own_key)
    as_himself = headers_of(event, "notify")
    yield record(
        settings,
        event,
        signer.sign(resends, event.key.encode(), as_himself, encode(event)),
    )
    real = genuine(settings, another)
    yield record(settings, event, real.headers)


def bad_ballot(no: int):
    worst = [(unit_no, 1, 3) for unit_no in range(1, len(UNITS) + 1)]
    return ballot(no, worst)


async def test_forged_ballots_and_lapses_leave_every_score_and_are_dead_lettered(scoring, settings):
    unit = UNITS[0].unit_id
    good = [(unit_no, 1, 1) for unit_no in range(1, len(UNITS) + 1)]
    await scoring.consume(*(ballot(no, good) for no in range(4)))
    await scoring.rescore_pending()
    before = await scoring.bytes()
    lapsed = Case("A-1", unit).lapsed()
    processor = BatchProcessor(
        scoring.database, on, context=scoring.context, group="fengping-scoring"
    )
    verifier = verifier_of(settings, "scoring")
    forged = [
        *forgeries(settings, bad_ballot(10), ballot(11, good)),
        *forgeries(settings, lapsed, Case("A-2", unit).lapsed()),
    ]

    await processor.apply(read_all(forged, on.names, verifier))
    await scoring.rescore_pending()

    assert await scoring.bytes() == before
    async with scoring.transaction() as tx:
        reasons = [row["reason"] for row in await tx.fetch("select reason from dead_letters")]
    assert reasons == ["forged"] * 8

    real = [genuine(settings, bad_ballot(10)), genuine(settings, lapsed)]
    await processor.apply(read_all(real, on.names, verifier))
    scoring.context.scored_at.clear()
    await scoring.rescore_pending()
    assert await scoring.bytes() != before
