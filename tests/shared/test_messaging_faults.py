"""One fault per test: what each rule of the bus is for."""

import asyncio
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, KafkaTimeoutError
from faststream.kafka import KafkaBroker
from typer.testing import CliRunner

from services.cli.__main__ import cli
from shared.appraisal.events import BallotsReleased, ReleasedBallot, encode
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import events_consumed
from shared.messaging import Bus
from shared.messaging.batches import read_all
from shared.messaging.consumer import Consumer
from shared.messaging.dead_letters import replay
from shared.messaging.envelope import read
from shared.messaging.kafka_access import ADMIN
from shared.messaging.processor import BatchProcessor
from shared.messaging.progress import ProgressWatch
from shared.messaging.relay import Relay
from shared.messaging.store import buffered_events
from shared.messaging.store import dead_letters as dead_letter_rows
from shared.messaging.store.dead_letters import FailedRecord
from shared.messaging.store.records import StoredRecord
from shared.messaging.topics import client_options
from tests.event_signing import signed
from tests.faults.fault_actions import NoText, any_header_name
from tests.shared.test_messaging import (
    NOON,
    _all_sent,
    _send,
    dlq,
    event_headers,
    producer_of,
    rated,
    read_topic,
    until,
    wipe_topic,
    world,
)

__all__ = ["world"]
pytestmark = pytest.mark.stack


def ballot():
    return BallotsReleased(
        occurred_at=NOON,
        release_id=uuid4(),
        campaign_id="j-2026",
        instrument="hall",
        group="people",
        ballots=(ReleasedBallot(ballot_id=uuid4(), answers=((1, 1, 1),)),),
    )


async def committed(settings, group):
    """Return the sum of the offsets that a group has committed."""
    admin = AIOKafkaAdminClient(**client_options(settings, ADMIN))
    await admin.start()
    try:
        return sum(
            max(0, at.offset)
            for at in (
                await admin.list_consumer_group_offsets(settings.topic_prefix + group)
            ).values()
        )
    finally:
        await admin.close()


def hold_up(recorder):
    """Block the handler in every batch; return the batch sizes and the event that releases it."""
    entered, leave = [], asyncio.Event()

    async def slowly(tx, events):
        entered.append(len(events))
        await leave.wait()
        await recorder.record(tx, events)

    recorder.consume = slowly
    return entered, leave


async def test_no_offset_is_committed_while_the_handler_runs(world):
    entered, leave = hold_up(world.recorder)
    async with world.run():
        await world.publish(rated(uuid4()))
        await until(lambda: entered)
        await asyncio.sleep(0.5)
        at_work = await committed(world.settings, "fengping-scoring")
        leave.set()
        await world.settled(1)

    assert at_work == 0


async def test_next_batch_of_a_partition_waits_for_the_running_one(world):
    """Its offset commit would cover the slow batch, which a crash would then lose."""
    entered, leave = hold_up(world.recorder)
    complaint = uuid4()
    world.settings.batch_max = 1
    async with world.run():
        await world.publish(*(rated(complaint) for _ in range(4)))
        await until(lambda: entered)
        await asyncio.sleep(0.7)
        at_work, done = len(entered), await committed(world.settings, "fengping-scoring")
        leave.set()
        effects = await world.settled(4)

    assert (at_work, done) == (1, 0)
    assert [effect["version"] for effect in effects] == [1, 2, 3, 4]


async def test_large_batch_is_processed_by_partition(world, monkeypatch):
    """Partitions wait for the database independently."""
    entered, leave = hold_up(world.recorder)
    monkeypatch.setattr("shared.messaging.batches.SPLIT_BATCH_FROM", 2)
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(uuid4()) for _ in range(60)))
        await until(lambda: _all_sent(publisher.relay))
    async with world.run():
        await until(lambda: len(entered) > 1)
        leave.set()
        effects = await world.settled(60)

    assert len(effects) == 60


async def test_records_fetched_ahead_of_a_refetched_batch_are_fetched_again(
    world, monkeypatch, caplog
):
    """Processed now, they would be processed out of order."""
    real, failed, taken = Consumer._apply_or_split, [], []

    async def fail_once(self, batch):
        if not failed:
            failed.append(batch[0].record.offset)
            await asyncio.sleep(0.5)  # meanwhile the next one is read
            raise RuntimeError("not now")
        taken.append([each.record.offset for each in batch])
        await real(self, batch)

    complaint = uuid4()
    monkeypatch.setattr(Consumer, "_apply_or_split", fail_once)
    world.settings.batch_max = 2
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(complaint) for _ in range(6)))
        await until(lambda: _all_sent(publisher.relay))
    async with world.run():
        effects = await world.settled(6)

    assert [effect["version"] for effect in effects] == [1, 2, 3, 4, 5, 6]
    assert [offset for batch in taken for offset in batch] == [0, 1, 2, 3, 4, 5]
    assert "never retrieved" not in caplog.text


async def test_ballot_delivered_three_times_counts_once(world):
    """A single event has no version to check: only the inbox recognises its copies."""
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(ballot() for _ in range(20)))
        await until(lambda: _all_sent(publisher.relay))
    records = await read_topic(world.settings, "ballots")
    async with producer_of(world.settings) as producer:
        for record in records * 2:
            await producer.send(
                record.topic, record.value, key=record.key, headers=list(record.headers)
            )

    async with world.run(publishing=False):
        await world.settled(20)
        await asyncio.sleep(1)
        effects = await world.recorder.effects(world.consumer_db)

    assert len(effects) == 20


async def test_events_that_the_broker_rejected_are_sent_again(world, monkeypatch):
    """The broker rejects the first batch at once, and the third after it was sent."""
    real, refused = AIOKafkaProducer.send_batch, []

    async def send_batch(self, batch, topic, *, partition):
        refused.append(partition)
        if len(refused) == 1:
            raise KafkaTimeoutError
        if len(refused) == 3:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(KafkaTimeoutError())
            return answer
        return await real(self, batch, topic, partition=partition)

    complaint = uuid4()
    monkeypatch.setattr(AIOKafkaProducer, "send_batch", send_batch)
    monkeypatch.setattr("shared.messaging.publisher.PRODUCE_BYTES_MAX", 1_000)
    async with world.run():
        await world.publish(*(rated(complaint) for _ in range(12)))
        effects = await world.settled(12)

    assert len(refused) > 4
    assert [effect["version"] for effect in effects] == list(range(1, 13))


@pytest.mark.parametrize(
    ("part", "place"),
    [
        (Relay, "_send_batch"),
        (ProgressWatch, "_measure_lag"),
        (Bus, "_update_gauges_and_request_missing"),
    ],
)
async def test_bus_task_survives_an_unexpected_error(world, monkeypatch, part, place):
    """A bug in a library must not end a task of a process that runs for months."""
    real, failed = getattr(part, place), []

    async def fail_once(self):
        if not failed:
            failed.append(place)
            raise RuntimeError("set changed size during iteration")
        return await real(self)

    monkeypatch.setattr(part, place, fail_once)
    monkeypatch.setattr("shared.messaging.progress.LAG_INTERVAL_SECONDS", 0.3)
    async with world.run() as buses:
        await until(lambda: failed)
        await world.publish(rated(uuid4()))
        await world.settled(1)
        assert [bus.health_problem() for bus in buses] == [None, None]


async def test_event_that_commits_after_a_later_one_is_published(world):
    """Ids are drawn in one order and committed in another: a cursor over ids would miss it."""
    async with world.run():
        async with world.publisher_db.transaction() as tx:
            tx.publish(rated(uuid4()))
            await tx.write()
            tx._events.clear()
            await world.publish(rated(uuid4()))
            await world.settled(1)
        await world.settled(2)


async def test_two_gaps_of_one_aggregate_are_requested_together(world, monkeypatch):
    """Versions 2 and 4 are lost: requesting only the first gap would delay the second."""
    from shared.messaging import consumer

    complaint = uuid4()
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(complaint) for _ in range(6)))
        await until(lambda: _all_sent(publisher.relay))
    real, lost = consumer.read_all, set()

    def dropping(*arguments):
        batch = real(*arguments)
        gone = {a.meta.version for a in batch if a.meta.version in (2, 4)} - lost
        lost.update(gone)
        return [a for a in batch if a.meta.version not in gone]

    monkeypatch.setattr(consumer, "read_all", dropping)
    async with world.run():
        effects = await world.settled(6)

    assert [row["version"] for row in effects] == [1, 2, 3, 4, 5, 6]


async def test_gap_buffered_by_a_clock_that_had_jumped_is_requested(world):
    """`buffered_at` and `resend_requested_at` are forty days ahead."""
    async with world.consumer_db.transaction() as tx:
        await tx.run(
            "insert into buffered_events (topic, key, version, event_id, type, headers, body, "
            "partition, log_offset, buffered_at, resend_requested_at) "
            "select 'complaints', 'one', 2, gen_random_uuid(), 'complaint.rated.v1', '{}', '', "
            "0, 1, at, at "
            "from (select clock_timestamp() + interval '40 days' as at) later"
        )
        assert [
            gap.from_version for gap in await buffered_events.gaps(tx, older_than_seconds=5)
        ] == [1]
        await buffered_events.note_resend_request(tx, "complaints", "one")
        assert await buffered_events.gaps(tx, older_than_seconds=5) == []


@pytest.mark.parametrize(
    "place",
    ["relay.after_select", "relay.after_send", "relay.after_ack", "relay.after_mark_published"],
)
async def test_relay_that_fails_at_any_step_keeps_every_event_in_order(world, place):
    complaint, broken = uuid4(), []

    def break_twice():
        if len(broken) < 2:
            broken.append(place)
            raise ConnectionError("killed")

    failpoint.armed[place] = break_twice
    async with world.run() as (publisher, _):
        published = 0
        while published < 20 or len(broken) < 2:  # one batch may have sent all rows
            await world.publish(rated(complaint))
            published += 1
            await asyncio.sleep(0.2 if published > 20 else 0)
        effects = await world.settled(published)
        await until(lambda: _all_sent(publisher.relay))

    assert [row["version"] for row in effects] == list(range(1, published + 1))


async def test_restarting_relay_can_be_stopped(world, monkeypatch):
    """Closing the old producer must not swallow the cancellation."""
    closing, real = asyncio.Event(), AIOKafkaProducer.stop

    async def slowly(self):
        closing.set()
        await asyncio.sleep(1)
        await real(self)

    monkeypatch.setattr(AIOKafkaProducer, "stop", slowly)
    failpoint.armed["relay.after_select"] = _break
    relay = Relay(world.publisher_db, world.settings)
    running = asyncio.create_task(relay.run())
    await until(lambda: relay.owns_all_shards)
    await relay._publisher._current_producer()
    await world.publish(rated(uuid4()))
    await closing.wait()
    running.cancel()

    done, _ = await asyncio.wait({running}, timeout=10)
    assert done


async def test_restarting_consumer_can_be_stopped(world, monkeypatch):
    closing, real = asyncio.Event(), KafkaBroker.stop

    async def slowly(self, *arguments):
        closing.set()
        await asyncio.sleep(1)
        await real(self, *arguments)

    monkeypatch.setattr(KafkaBroker, "stop", slowly)
    monkeypatch.setattr(ProgressWatch, "watch", lambda self, check: asyncio.sleep(0))
    consumer = Consumer(
        world.consumer_db,
        world.recorder.on,
        world.settings,
        context=None,
        group="fengping-scoring",
    )
    running = asyncio.create_task(consumer.run())
    await closing.wait()
    running.cancel()

    done, _ = await asyncio.wait({running}, timeout=10)
    assert done


def processor_of(world):
    """The batch processor of the consuming service."""
    return Bus(
        world.consumer_db, world.recorder.on, world.settings, context=None
    ).consumer.processor


def _break():
    raise ConnectionError("killed")


async def test_replaced_log_is_read_from_its_start_after_a_failed_verification(world, monkeypatch):
    """The topic was recreated, the group kept its offsets, and the first verification timed out."""
    from shared.messaging import log_verifier

    async with world.run() as (publisher, _):
        await world.publish(*(rated(uuid4()) for _ in range(20)))
        await world.settled(20)
        await until(lambda: _all_sent(publisher.relay))
        await until(lambda: _committed_is(world.settings, 20))
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(uuid4()) for _ in range(5)))
        await until(lambda: _all_sent(publisher.relay))
    applied = {row["event_id"] for row in await world.recorder.effects(world.consumer_db)}
    records = await read_topic(world.settings, "complaints")
    await _replace_log(
        world.settings, sorted(records, key=lambda record: read(record).meta.event_id in applied)
    )

    checks, real = [], log_verifier.lost_partitions

    async def slow_at_first(*arguments):
        checks.append(arguments)
        if len(checks) == 1:
            raise TimeoutError
        return await real(*arguments)

    monkeypatch.setattr(log_verifier, "lost_partitions", slow_at_first)
    async with world.run(publishing=False):
        effects = await world.settled(25)

    assert len(checks) > 1
    assert len(effects) == 25


async def _committed_is(settings, count):
    return await committed(settings, "fengping-scoring") == count


async def _replace_log(settings, records):
    """Recreate the topic with these records; the group keeps its offsets."""
    topic, group = records[0].topic, settings.topic_prefix + "fengping-scoring"
    admin = AIOKafkaAdminClient(**client_options(settings, ADMIN))
    await admin.start()
    offsets = {
        tp: at
        for tp, at in (await admin.list_consumer_group_offsets(group)).items()
        if tp.topic == topic
    }
    await admin.close()
    await wipe_topic(settings, topic.removeprefix(settings.topic_prefix))
    async with producer_of(settings) as producer:
        for record in records:
            await producer.send_and_wait(
                topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
    member = AIOKafkaConsumer(
        **client_options(settings, ADMIN), group_id=group, enable_auto_commit=False
    )
    member.assign(list(offsets))
    await member.start()
    await member.commit(offsets)
    await member.stop()


async def test_replay_is_not_limited_to_one_page(world, monkeypatch):
    monkeypatch.setattr("shared.messaging.store.dead_letters.DEAD_LETTERS_MAX", 10)
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(uuid4()) for _ in range(25)))
        await until(lambda: _all_sent(publisher.relay))
    records = await read_topic(world.settings, "complaints")
    async with world.consumer_db.transaction() as tx:
        await dead_letter_rows.insert(
            tx, [FailedRecord(record, "handler", "a bug", 5) for record in records]
        )

    first = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )
    again = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )

    assert (first, again) == ((25, 0), (0, 0))
    assert len(await world.recorder.effects(world.consumer_db)) == 25


async def test_failed_replay_does_not_block_others(world, monkeypatch):
    monkeypatch.setattr("shared.messaging.store.dead_letters.DEAD_LETTERS_MAX", 10)
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(uuid4(), option) for option in (1, 2) * 15))
        await until(lambda: _all_sent(publisher.relay))
    async with world.consumer_db.transaction() as tx:
        await dead_letter_rows.insert(
            tx,
            [
                FailedRecord(record, "handler", "a bug", 5)
                for record in await read_topic(world.settings, "complaints")
            ],
        )

    def fail(event):
        if event.option == 2:
            raise ValueError("still a bug")

    world.recorder.fail = fail
    assert await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    ) == (15, 15)


async def test_discarded_event_never_takes_effect(world, monkeypatch):
    async with world.run(consuming=False) as (publisher,):
        await world.publish(rated(uuid4()))
        await until(lambda: _all_sent(publisher.relay))
    (record,) = await read_topic(world.settings, "complaints")
    async with world.consumer_db.transaction() as tx:
        await dead_letter_rows.insert(tx, [FailedRecord(record, "handler", "a bug", 5)])
    (dead_letter,) = await dlq(world.consumer_db)
    monkeypatch.setattr(
        "services.cli.commands.dead_letters.installed_settings", lambda data: world.settings
    )
    command = ["discard", "scoring", str(dead_letter["id"]), "--by", "Li"]

    first = await asyncio.to_thread(CliRunner().invoke, cli, command)
    again = await asyncio.to_thread(CliRunner().invoke, cli, command)

    assert (first.exit_code, again.exit_code) == (0, 0)
    (dead_letter,) = await dlq(world.consumer_db)
    assert (dead_letter["state"], dead_letter["resolved_by"]) == ("discarded", "Li")
    assert await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    ) == (0, 0)
    assert await world.recorder.effects(world.consumer_db) == []
    async with world.consumer_db.transaction() as tx:
        entries = await tx.fetch("select actor from audit where action = 'dead_letter.discarded'")
    assert [entry["actor"] for entry in entries] == ["Li"]


async def test_versions_are_read_again_after_waiting_for_another_replica(world):
    """Versions read before the wait for another replica's transaction are stale."""
    complaint = uuid4()
    async with world.run(consuming=False) as (publisher,):
        await world.publish(rated(complaint), rated(complaint))
        await until(lambda: _all_sent(publisher.relay))
    both = [read(record) for record in await read_topic(world.settings, "complaints")]
    replica = processor_of(world)

    async with replica.transaction_of(both[:1]) as tx:
        await replica.apply_in(tx, both[:1])
        waiting = asyncio.create_task(replica.apply(both))
        await asyncio.sleep(0.5)
        assert not waiting.done()

    assert await waiting == 1
    assert [effect["version"] for effect in await world.recorder.effects(world.consumer_db)] == [
        1,
        2,
    ]


async def test_replay_waits_for_running_batches_and_releases_their_buffered_events(world):
    """Otherwise the batch would buffer version 3 while the replay of 2 sees nothing buffered."""
    complaint = uuid4()
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(complaint) for _ in range(3)))
        await until(lambda: _all_sent(publisher.relay))
    records = await read_topic(world.settings, "complaints")
    first, _, third = (read(record) for record in records)
    processor = processor_of(world)
    await processor.apply([first])
    async with world.consumer_db.transaction() as tx:
        await dead_letter_rows.insert(tx, [FailedRecord(records[1], "handler", "a bug", 5)])

    async with processor.transaction_of([third]) as tx:
        await processor.apply_in(tx, [third])
        replaying = asyncio.create_task(
            replay(world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester")
        )
        await asyncio.sleep(0.5)
        assert not replaying.done()

    assert await replaying == (1, 0)
    assert [effect["version"] for effect in await world.recorder.effects(world.consumer_db)] == [
        1,
        2,
        3,
    ]


async def test_malformed_record_does_not_affect_its_neighbours(world):
    """A time that overflows when it is converted, and a body nested too deeply."""
    async with world.run(consuming=False) as (publisher,):
        await world.publish(rated(uuid4()))
        await until(lambda: _all_sent(publisher.relay))
    [good] = await read_topic(world.settings, "complaints")
    unsigned = [header for header in good.headers if header[0] not in ("ce_keyid", "ce_mac")]
    late = [
        (name, b"9999-12-31T23:59:59-12:00" if name == "ce_time" else value)
        for name, value in unsigned
    ]
    deep = good.value[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    bad = [
        StoredRecord(good.topic, 0, 7, good.key, body, _signed(world, good, headers, body))
        for body, headers in ((good.value, late), (deep, unsigned))
    ]

    batch = read_all([*bad, good], world.recorder.on.names, world.verifier)

    assert [type(taken).__name__ for taken in batch] == [
        "MalformedRecord",
        "IncomingEvent",
        "IncomingEvent",
    ]
    assert batch[2].event().complaint_id


def _signed(world, record, headers, body):
    return signed(world.settings, "complaints", record.key.decode(), headers, body)


async def test_assignment_made_while_topics_were_missing_is_repeated(world):
    """A group leader that did not know all topics leaves partitions unassigned for ever."""
    early = Consumer(
        world.consumer_db,
        world.recorder.on,
        world.settings,
        context=None,
        group="fengping-scoring",
    )
    early._subscriber = SimpleNamespace(
        consumer=SimpleNamespace(partitions_for_topic=lambda topic: None)
    )

    await early.verify_logs([])

    with pytest.raises(KafkaError):
        await early.progress.watch(early.verifier.raise_if_failed)


@pytest.fixture
def any_header_names():
    """Let producers write header names that are not UTF-8."""
    with any_header_name():
        yield


AS_READ = "\\xff\\xfe"
"""How a name of `NoText` begins when it is read."""


def signed_with(world, complaint, extra):
    """Headers of an event, signed together with headers whose names are no text when sent."""
    headers = [*event_headers(complaint), *extra]
    with_mac = signed(
        world.settings, "complaints", str(complaint), headers, encode(rated(complaint))
    )
    return [
        (NoText(name.removeprefix(AS_READ)) if name.startswith(AS_READ) else name, value)
        for name, value in with_mac
    ]


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_non_utf8_header_name_blocks_nothing(world, any_header_names, compression):
    """aiokafka raises for the whole fetch; events take effect, other records are dead-lettered."""
    complaints, topic = [uuid4() for _ in range(6)], f"{world.settings.topic_prefix}complaints"
    producer = AIOKafkaProducer(
        **client_options(world.settings, ADMIN), acks="all", compression_type=compression
    )
    await producer.start()
    batch = producer.create_batch()
    for number, complaint in enumerate(complaints):
        body = encode(rated(complaint))
        extra = [(AS_READ + "trace", b"\xff")] if number == 1 else []
        headers = signed_with(world, complaint, extra)
        if number == 3:
            headers = [(NoText(name), value) for name, value in headers]
        batch.append(
            key=str(complaint).encode(),
            value=body,
            timestamp=None,
            headers=headers,
        )
    sent = await producer.send_batch(batch, topic, partition=0)
    await sent
    await producer.stop()

    async with world.run(publishing=False):
        effects = await world.settled(4)
        await until(lambda: _dlq_size_is(world.consumer_db, 2))

    assert {row["key"] for row in effects} == {str(complaints[n]) for n in (0, 2, 4, 5)}
    by_key = {row["key"].decode(): row for row in await dlq(world.consumer_db)}
    assert by_key.keys() == {str(complaints[1]), str(complaints[3])}
    assert all(row["body"] == encode(rated(UUID(key))) for key, row in by_key.items())
    assert by_key[str(complaints[1])]["reason"] == "headers"
    assert by_key[str(complaints[3])]["reason"] == "forged"
    assert "\\xff\\xfece_id" in by_key[str(complaints[3])]["headers"]


async def _dlq_size_is(database, count):
    return len(await dlq(database)) == count


async def test_log_with_a_non_utf8_header_name_can_be_verified(world, any_header_names):
    async with producer_of(world.settings) as producer:
        for _ in range(3):
            complaint = uuid4()
            headers = signed_with(world, complaint, [(AS_READ + "x", b"1")])
            await producer.send_and_wait(
                f"{world.settings.topic_prefix}complaints",
                encode(rated(complaint)),
                key=str(complaint).encode(),
                headers=headers,
                partition=0,
            )
    for turn in (1, 2):
        async with world.run(publishing=False):
            assert len(await world.settled(3)) == 3, f"in turn {turn}"


def break_at(world, version):
    """Let the handler fail for this version; return the set to clear when the bug is fixed."""
    broken = {version}

    async def consume(tx, events):
        if any(meta.version in broken for _, meta in events):
            raise ValueError("a bug")
        await world.recorder.record(tx, events)

    world.recorder.consume = consume
    return broken


async def test_failing_buffered_event_is_dead_lettered_instead_of_its_predecessor(
    world,
):
    complaint, broken = uuid4(), break_at(world, 2)
    async with producer_of(world.settings) as producer:
        for version in (2, 3, 1, 4):
            await _send(producer, world.settings, complaint, version)
    async with world.run(publishing=False):
        await until(lambda: _dlq_size_is(world.consumer_db, 1))
        effects = await world.settled(1)
        await until(lambda: _buffered_are(world.consumer_db, [3, 4]))

    [dead_letter] = await dlq(world.consumer_db)
    assert (dead_letter["version"], dead_letter["reason"], [row["version"] for row in effects]) == (
        2,
        "handler",
        [1],
    )
    broken.clear()
    assert await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    ) == (1, 0)
    assert [row["version"] for row in await world.recorder.effects(world.consumer_db)] == [
        1,
        2,
        3,
        4,
    ]


async def test_only_the_failing_one_of_several_buffered_events_is_dead_lettered(world):
    complaint = uuid4()
    break_at(world, 3)
    async with producer_of(world.settings) as producer:
        for version in (4, 3, 2, 1):
            await _send(producer, world.settings, complaint, version)
    async with world.run(publishing=False):
        await until(lambda: _dlq_size_is(world.consumer_db, 1))
        effects = await world.settled(2)
        # The record is delivered again, as after a crash: it is not dead-lettered twice.
        [third] = [
            r for r in await read_topic(world.settings, "complaints") if read(r).meta.version == 3
        ]
        async with producer_of(world.settings) as producer:
            await producer.send_and_wait(
                third.topic,
                third.value,
                key=third.key,
                headers=list(third.headers),
                partition=third.partition,
            )
            await _send(producer, world.settings, uuid4(), 1)
        await world.settled(3)

    assert [row["version"] for row in effects] == [1, 2]
    assert [dead_letter["version"] for dead_letter in await dlq(world.consumer_db)] == [3]
    assert await _buffered_are(world.consumer_db, [4])


async def test_header_name_with_a_nul_is_dead_lettered(world):
    key = str(uuid4()).encode()
    async with producer_of(world.settings) as producer:
        await producer.send_and_wait(
            f"{world.settings.topic_prefix}complaints",
            b"x",
            key=key,
            headers=[("a\x00b", b"1\x00")],
            partition=0,
        )
        await _send(producer, world.settings, uuid4(), 1)
    async with world.run(publishing=False):
        await world.settled(1)
        await until(lambda: _dlq_size_is(world.consumer_db, 1))

    [dead_letter] = await dlq(world.consumer_db)
    assert (dead_letter["key"], dead_letter["body"]) == (key, b"x")
    assert dead_letter["headers"] == {"a\\x00b": "1\\x00"}


async def test_failing_event_with_a_buffered_successor_is_dead_lettered(world):
    complaint = uuid4()
    break_at(world, 1)
    async with producer_of(world.settings) as producer:
        for version in (2, 1):
            await _send(producer, world.settings, complaint, version)
    async with world.run(publishing=False):
        await until(lambda: _dlq_size_is(world.consumer_db, 1))

    [dead_letter] = await dlq(world.consumer_db)
    assert dead_letter["version"] == 1
    assert await _buffered_are(world.consumer_db, [2])


async def _buffered_are(database, versions):
    async with database.transaction() as tx:
        return [
            row["version"]
            for row in await tx.fetch("select version from buffered_events order by version")
        ] == versions


async def test_early_event_is_counted_as_buffered_and_not_as_duplicate(world):
    """And its predecessor, which releases it in a later batch, counts as one event."""
    complaint = uuid4()
    consumer = processor_of(world)
    async with world.run(consuming=False) as (publisher,):
        await world.publish(*(rated(complaint) for _ in range(3)))
        await until(lambda: _all_sent(publisher.relay))
    first, second, third = [
        read(record) for record in await read_topic(world.settings, "complaints")
    ]

    def counted():
        topic = f"{world.settings.topic_prefix}complaints"
        return [
            events_consumed.labels(consumer.group, topic, result)._value.get()
            for result in ("ok", "buffered", "duplicate")
        ]

    before = counted()
    assert [
        await consumer.apply(batch) for batch in ([third, second], [first], [first, third])
    ] == [
        0,
        3,
        0,
    ]

    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 2, 2]
    assert [row["version"] for row in await world.recorder.effects(world.consumer_db)] == [1, 2, 3]


async def test_error_after_the_commit_fails_no_event(world, monkeypatch):
    def fail(*_):
        raise ValueError("a bug in counting")

    monkeypatch.setattr(BatchProcessor, "_record_metrics", fail)
    async with world.run():
        await world.publish(*(rated(uuid4()) for _ in range(3)))
        effects = await world.settled(3)
        await until(lambda: _committed_is(world.settings, 3))

    assert len(effects) == 3
    assert await dlq(world.consumer_db) == []
