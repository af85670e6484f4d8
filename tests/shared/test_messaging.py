"""The guarantees of the bus on real Kafka: nothing lost, duplicated, reordered or blocked."""

import asyncio
import random
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.appraisal.errors import DependencyMissing
from shared.appraisal.events import BallotsReleased, ComplaintRated, encode
from shared.foundation.failpoints import failpoint
from shared.messaging import Bus, Handlers, prepare_kafka
from shared.messaging.dead_letters import replay
from shared.messaging.envelope import read, write_headers
from shared.messaging.kafka_access import ADMIN
from shared.messaging.publisher import OutboxPublisher
from shared.messaging.relay import Relay
from shared.messaging.topics import client_options
from shared.storage.transaction import new_id
from tests.event_signing import signed, verifier_of

pytestmark = pytest.mark.stack

NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


def rated(complaint_id, option=1):
    return ComplaintRated(
        occurred_at=NOON, complaint_id=complaint_id, campaign_id="j-2026", option=option
    )


async def until(condition, seconds=20.0):
    """Wait for a condition (sync or async); raise TimeoutError if it stays false."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if await result if asyncio.iscoroutine(result) else result:
                return
            await asyncio.sleep(0.05)


class RecordingConsumer:
    """A service that records the events it consumes, and can be made to fail."""

    def __init__(self):
        self.on = Handlers()
        self.fail = lambda event: None
        self.consume = self.record
        self.on.batch(ComplaintRated, BallotsReleased)(lambda tx, events: self.consume(tx, events))

    async def record(self, tx, events):
        for event, meta in events:
            self.fail(event)
            await tx.run(
                "insert into effects (event_id, key, version) values ($1, $2, $3)",
                meta.event_id,
                meta.key,
                meta.version,
            )

    async def effects(self, database):
        async with database.transaction() as tx:
            return await tx.fetch("select * from effects order by n")


@pytest.fixture
async def world(core):
    """Intake publishes, scoring consumes. `world.run()` runs both."""
    settings, open_schema = core
    await prepare_kafka(settings)
    publisher_db, consumer_db = await open_schema("intake"), await open_schema("scoring")
    async with consumer_db.transaction() as tx:
        await tx.run(
            "create table effects "
            "(n bigint generated always as identity, event_id uuid, key text, version bigint)"
        )
    recorder = RecordingConsumer()
    world = SimpleNamespace(
        settings=settings,
        publisher_db=publisher_db,
        consumer_db=consumer_db,
        recorder=recorder,
        verifier=verifier_of(settings, "scoring"),
    )

    @asynccontextmanager
    async def run(*, publishing=True, consuming=True):
        buses = [Bus(publisher_db, Handlers(), settings, context=None)] if publishing else []
        buses += [Bus(consumer_db, recorder.on, settings, context=None)] if consuming else []
        for bus in buses:
            bus.start()
        try:
            yield buses
        finally:
            await asyncio.gather(*(bus.stop() for bus in buses))

    async def publish(*events):
        async with publisher_db.transaction() as tx:
            for event in events:
                tx.publish(event)

    async def settled(count):
        await until(lambda: _count_is(recorder, consumer_db, count))
        return await recorder.effects(consumer_db)

    world.run, world.publish, world.settled = run, publish, settled
    yield world
    failpoint.armed.clear()


async def _count_is(recorder, database, count):
    return len(await recorder.effects(database)) >= count


async def dlq(database):
    async with database.transaction() as tx:
        return await tx.fetch("select * from dead_letters order by id")


async def read_topic(settings, topic):
    """Return all records of a topic, in the order of each partition."""
    options = client_options(settings, ADMIN) | {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
    }
    consumer = AIOKafkaConsumer(settings.topic_prefix + topic, **options)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


@asynccontextmanager
async def producer_of(settings):
    producer = AIOKafkaProducer(**client_options(settings, ADMIN), acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def by_key(rows):
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["key"]].append(row["version"])
    return grouped


# ── the relay ─────────────────────────────────────────────────────────────────────────────────────


async def test_three_relays_and_twelve_writers_keep_every_event_in_order(world):
    complaints = [uuid4() for _ in range(10)]

    async def write(writer):
        for n in range(50):
            await world.publish(*(rated(complaints[(writer * 7 + n * k) % 10]) for k in (1, 2, 3)))

    relays = [Relay(world.publisher_db, world.settings) for _ in range(3)]
    running = [asyncio.create_task(relay.run()) for relay in relays]
    await asyncio.gather(*(write(n) for n in range(12)))
    await until(lambda: _all_sent(relays[0]))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    seen = defaultdict(list)
    for record in await read_topic(world.settings, "complaints"):
        meta = read(record).meta
        seen[meta.key].append(meta.version)
    assert sum(map(len, seen.values())) == 1_800
    assert all(versions == list(range(1, len(versions) + 1)) for versions in seen.values())


async def _all_sent(relay):
    return (await relay.backlog())[0] == 0


async def test_relay_that_fails_between_acknowledgement_and_mark_loses_nothing(world):
    complaints = [uuid4() for _ in range(10)]
    rng = random.Random(7)

    def die_sometimes():
        if rng.random() < 0.4:
            raise ConnectionError("killed")

    failpoint.armed["relay.after_ack"] = die_sometimes
    relay = Relay(world.publisher_db, world.settings)
    running = asyncio.create_task(relay.run())
    for n in range(200):
        await world.publish(*(rated(complaints[(n * k) % 10]) for k in (1, 2, 3)))
    await until(lambda: _all_sent(relay), 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    async with world.run(publishing=False):
        effects = await world.settled(600)
    assert len(effects) == 600
    assert all(
        versions == list(range(1, len(versions) + 1)) for versions in by_key(effects).values()
    )


async def test_frozen_relay_loses_its_shards_to_another_process(world, monkeypatch):
    """The kernel keeps its connection open: the server must end an idle session."""
    monkeypatch.setattr("shared.storage.connections.SESSION_IDLE_SECONDS", 2)
    frozen = Relay(world.publisher_db, world.settings)
    running = asyncio.create_task(frozen.run())
    await until(lambda: frozen.owns_all_shards)
    monkeypatch.setattr(frozen, "_send_batch", asyncio.Event().wait)

    async with world.run(publishing=True) as (publisher, _):
        await until(lambda: publisher.relay.owns_all_shards)
        await world.publish(rated(uuid4()))
        await world.settled(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_events_of_a_publisher_with_a_wrong_clock_are_consumed(world, monkeypatch):
    """The broker rejects records from its future, and soon deletes those from its past."""
    real = OutboxPublisher._record
    for days in (40, -40):
        stamp = int((datetime.now(UTC).timestamp() + days * 86_400) * 1000)
        monkeypatch.setattr(
            OutboxPublisher,
            "_record",
            lambda self, row, stamp=stamp: real(self, row) | {"timestamp": stamp},
        )
        async with world.run():
            await world.publish(rated(uuid4()))
            await world.settled(1 if days > 0 else 2)


async def test_wiped_broker_is_refilled_and_nothing_takes_effect_twice(world):
    """The log is lost while nothing is published: the relay must notice and republish it."""
    complaints = [uuid4() for _ in range(30)]
    async with world.run():
        await world.publish(*map(rated, complaints))
        await world.settled(30)

    await wipe_topic(world.settings, "complaints")

    async with world.run() as buses:
        await world.publish(rated(complaints[0]))
        await until(lambda: _all_sent(buses[0].relay))
        effects = await world.settled(31)
    assert len(await read_topic(world.settings, "complaints")) == 31
    assert len(effects) == 31


async def test_wiped_log_that_grew_past_its_checkpoint_is_refilled(world):
    """The next record is stored at an offset below the checkpoint, which reveals the loss."""
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(uuid4()) for _ in range(12)))
        await until(lambda: _all_sent(publisher.relay))
        await wipe_topic(world.settings, "complaints")
        await world.publish(*(rated(uuid4()) for _ in range(48)))
        await until(lambda: _all_sent(publisher.relay))
    async with world.run():
        effects = await world.settled(60)

    assert len(effects) == 60


async def wipe_topic(settings, topic):
    """Delete and recreate the topic."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(**client_options(settings, ADMIN))
    await admin.start()
    await admin.delete_topics([settings.topic_prefix + topic])
    await asyncio.sleep(1)
    await admin.close()
    await prepare_kafka(settings)


# ── the consumer ──────────────────────────────────────────────────────────────────────────────────


async def test_every_event_delivered_three_times_takes_effect_once(world):
    complaints = [uuid4() for _ in range(20)]
    async with world.run(consuming=False) as (publisher,):
        for _ in range(5):
            await world.publish(*map(rated, complaints))
        await until(lambda: _all_sent(publisher.relay))
    records = await read_topic(world.settings, "complaints")
    async with producer_of(world.settings) as producer:
        for record in records * 2:
            await producer.send(
                record.topic, record.value, key=record.key, headers=list(record.headers)
            )

    async with world.run(publishing=False):
        effects = await world.settled(100)
        await asyncio.sleep(1)
        effects = await world.recorder.effects(world.consumer_db)

    assert len(effects) == 100
    assert all(versions == [1, 2, 3, 4, 5] for versions in by_key(effects).values())


async def test_permuted_versions_take_effect_in_order(world):
    complaint = uuid4()
    async with producer_of(world.settings) as producer:
        for version in (3, 1, 5, 2, 4):
            await _send(producer, world.settings, complaint, version)

    async with world.run(publishing=False):
        effects = await world.settled(5)

    assert [row["version"] for row in effects] == [1, 2, 3, 4, 5]
    async with world.consumer_db.transaction() as tx:
        assert await tx.fetchval("select count(*) from buffered_events") == 0


def event_headers(complaint: UUID, version: int = 1) -> list[tuple[str, bytes]]:
    return write_headers(
        event_id=new_id(),
        service="intake",
        type="complaint.rated.v1",
        key=str(complaint),
        version=version,
        occurred_at=NOON,
        created_at=NOON,
        trace=None,
    )


async def _send(producer, settings, complaint: UUID, version: int, *, body=None, **changes):
    headers = dict(event_headers(complaint, version))
    headers.update({name: value for name, value in changes.items() if value is not None})
    kept = [(name, value) for name, value in headers.items() if changes.get(name, b"") is not None]
    value = encode(rated(complaint)) if body is None else body
    await producer.send_and_wait(
        f"{settings.topic_prefix}complaints",
        value or None,
        key=str(complaint).encode(),
        headers=_signed(settings, complaint, kept, value),
    )


def _signed(settings, complaint, headers, body):
    """Headers without an id are no event's, and cannot be signed."""
    if "ce_id" not in dict(headers):
        return headers
    return signed(settings, "complaints", str(complaint), headers, body)


async def test_missing_predecessor_is_requested_and_resent(world, monkeypatch):
    complaint = uuid4()
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(complaint) for _ in range(5)))
        await until(lambda: _all_sent(publisher.relay))
    second = [
        r for r in await read_topic(world.settings, "complaints") if read(r).meta.version == 2
    ]
    lose_once(monkeypatch, read(second[0]).meta.event_id)

    async with world.run():
        effects = await world.settled(5)

    assert [row["version"] for row in effects] == [1, 2, 3, 4, 5]


def lose_once(monkeypatch, event_id):
    """Drop one record when it is first fetched, as if the broker had lost it."""
    from shared.messaging import consumer

    real, lost = consumer.read_all, []

    def dropping(*arguments):
        batch = real(*arguments)
        kept = [a for a in batch if a.meta.event_id != event_id or lost]
        if len(kept) < len(batch):
            lost.append(event_id)
        return kept

    monkeypatch.setattr(consumer, "read_all", dropping)


POISON = {
    "tombstone": {"body": b""},
    "body": {"body": b"\xff\xfe not json"},
    "wrong shape": {"body": b'{"option": "many"}'},
    "headers": {"ce_time": b"\xff\xfe"},
    "no id": {"ce_id": None},
    "type": {"ce_type": b"complaint.exploded.v9"},
    "key": {"ce_subject": b"another key"},
    "version": {"ce_sequence": b"-1"},
}


async def test_poison_is_dead_lettered_with_its_bytes_and_blocks_nothing(world):
    async with producer_of(world.settings) as producer:
        for name, changes in POISON.items():
            complaint = uuid4()
            changes = dict(changes)
            await _send(
                producer, world.settings, complaint, 1, body=changes.pop("body", None), **changes
            )
            await _send(producer, world.settings, uuid4(), 1)
            assert name

    async with world.run(publishing=False):
        effects = await world.settled(len(POISON))

    found = await dlq(world.consumer_db)
    assert len(effects) == len(POISON)
    assert len(found) == len(POISON)
    assert {dead_letter["reason"] for dead_letter in found} == {
        "tombstone",
        "body",
        "headers",
        "type",
        "key",
        "forged",
    }
    assert b"\xff\xfe not json" in {dead_letter["body"] for dead_letter in found}


async def test_failing_aggregate_is_quarantined_and_replayed_in_order(world):
    sick, healthy = uuid4(), uuid4()

    def fail(event):
        if event.complaint_id == sick and event.option == 2:
            raise ValueError("a bug in the handler")

    world.recorder.fail = fail
    async with world.run():
        await world.publish(
            *(rated(sick, option) for option in (1, 2, 3, 4)),
            *(rated(healthy, option) for option in (1, 2, 3)),
        )
        effects = await world.settled(4)
        await until(lambda: _pending_are(world.consumer_db, 1))
    assert by_key(effects) == {str(sick): [1], str(healthy): [1, 2, 3]}

    world.recorder.fail = lambda event: None
    first = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )
    again = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )

    effects = await world.recorder.effects(world.consumer_db)
    assert by_key(effects) == {str(sick): [1, 2, 3, 4], str(healthy): [1, 2, 3]}
    assert (first, again) == ((1, 0), (0, 0))


async def _pending_are(database, count):
    return (
        len(
            [
                dead_letter
                for dead_letter in await dlq(database)
                if dead_letter["state"] == "pending"
            ]
        )
        == count
    )


async def test_retriable_bug_is_retried_a_bounded_number_of_times(world):
    calls = []

    def fail(event):
        calls.append(event)
        raise RuntimeError("again")

    world.recorder.fail = fail
    async with world.run():
        await world.publish(rated(uuid4()))
        await until(lambda: _pending_are(world.consumer_db, 1))
        await asyncio.sleep(1)

    assert len(calls) == 6  # once in the batch, five times alone: no hot loop
    assert (await dlq(world.consumer_db))[0]["attempts"] == 5


async def test_event_with_a_missing_dependency_is_replayed(world):
    def fail(event):
        raise DependencyMissing("campaign")

    world.recorder.fail = fail
    async with world.run():
        await world.publish(rated(uuid4()))
        await until(lambda: _pending_are(world.consumer_db, 1))
        assert (await dlq(world.consumer_db))[0]["reason"] == "dependency_missing"
        world.recorder.fail = lambda event: None
        await replay(
            world.consumer_db,
            world.recorder.on,
            None,
            verifier=world.verifier,
            by="system",
            reason="dependency_missing",
        )
        assert len(await world.settled(1)) == 1


@pytest.mark.parametrize(
    "place",
    [
        "consumer.after_fetch",
        "consumer.after_inbox",
        "consumer.after_effect",
        "consumer.after_commit",
    ],
)
async def test_consumer_that_fails_at_any_step_applies_every_event_once(world, place):
    broken = []

    def break_twice():
        if len(broken) < 2:
            broken.append(place)
            raise ConnectionError("killed")

    async with world.run():
        await world.settled(0)
        failpoint.armed[place] = break_twice
        await world.publish(*(rated(uuid4()) for _ in range(25)))
        effects = await world.settled(25)
        await asyncio.sleep(0.5)

    assert len(broken) == 2
    assert (
        len(effects)
        == 25
        == len({row["event_id"] for row in await world.recorder.effects(world.consumer_db)})
    )
    assert await dlq(world.consumer_db) == []


async def test_event_reaches_its_consumer_in_milliseconds(world):
    async with world.run():
        await world.publish(rated(uuid4()))
        await world.settled(1)
        loop, took = asyncio.get_running_loop(), []
        for n in range(2, 22):
            started = loop.time()
            await world.publish(rated(uuid4()))
            while len(await world.recorder.effects(world.consumer_db)) < n:
                await asyncio.sleep(0.002)
            took.append(loop.time() - started)
    print("write to effect, ms:", [round(1000 * t) for t in sorted(took)])
    assert sorted(took)[10] < 1.0
