"""Ballots of 80 answers, from Kafka to committed running scores: the product, a bare loop, and one
event per transaction.
"""

import asyncio
import gc
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain
from random import Random
from uuid import UUID, uuid4

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.scoring.actions.campaigns import create_campaign
from services.scoring.app import build
from services.scoring.domain.register import UnitRow
from shared.appraisal.events import BallotsReleased, ReleasedBallot, decode, encode
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from shared.foundation import telemetry
from shared.foundation.settings import Settings
from shared.messaging import Bus, Handlers, prepare_kafka
from shared.messaging.envelope import write_headers
from shared.messaging.kafka_access import ADMIN
from shared.messaging.topics import client_options
from shared.runtime.service import tune_gc
from shared.security.policies import Account
from shared.storage.transaction import new_id
from tests.bench.world import Figure, World
from tests.event_signing import signed

UNITS = 80
BENCH = Account(UUID(int=0), "bench", "bench", Role.OFFICE)
CATEGORIES = ("party", "government", "enterprise", "central")
NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)
UPSERT = """
insert into bare_tallies as t (unit_no, item_no, option_no, answer_count) select * from unnest($1::int[], $2::int[], $3::int[], $4::bigint[])
on conflict (unit_no, item_no, option_no) do update set answer_count = t.answer_count + excluded.answer_count
"""
BARE_TABLE = "create table bare_tallies (unit_no int, item_no int, option_no int, answer_count bigint, primary key (unit_no, item_no, option_no))"


def ballot(rng: Random) -> BallotsReleased:
    answers = tuple((unit, 1, rng.choice((1, 1, 1, 2, 2, 3, 9))) for unit in range(1, UNITS + 1))
    return BallotsReleased(
        occurred_at=NOON,
        release_id=uuid4(),
        campaign_id="j-2026",
        instrument="deputies",
        group="npc",
        ballots=(ReleasedBallot(ballot_id=uuid4(), answers=answers),),
    )


async def filled(world: World, count: int, *, template: str | None = None) -> Settings:
    """Return an installation whose topic holds `count` ballots, as the relay sends them."""
    settings = await world.installation(template=template)
    await prepare_kafka(settings)
    rng = Random(2026)
    async with producing(settings) as producer:
        for start in range(0, count, 2_000):
            await asyncio.gather(
                *[
                    await send(producer, settings, ballot(rng))
                    for _ in range(min(2_000, count - start))
                ]
            )
    return settings


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **client_options(settings, ADMIN), acks="all", linger_ms=2, max_batch_size=262_144
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(
    producer: AIOKafkaProducer, settings: Settings, event: BallotsReleased
) -> "asyncio.Future[object]":
    headers = write_headers(
        event_id=new_id(),
        service="intake",
        type=event.name,
        key=event.key,
        version=1,
        occurred_at=NOON,
        created_at=datetime.now(UTC),
        trace=None,
    )
    body = encode(event)
    return await producer.send(
        settings.topic_prefix + "ballots",
        body,
        key=event.key.encode(),
        headers=signed(settings, "ballots", event.key, headers, body),
    )


def taken(bus: Bus) -> int:
    """Events that this bus brought to their effect, by its own metric."""
    counter = telemetry.events_consumed.labels(bus.consumer.group, bus.consumer.topics[0], "ok")
    return int(next(sample.value for metric in counter.collect() for sample in metric.samples))


async def speed(bus: Bus, total: int) -> float:
    """Ballots a second, from the first that took effect to the last."""
    first, begun, seen = 0.0, 0, 0
    while seen < total:
        await asyncio.sleep(0.005)
        seen = taken(bus)
        if seen and not begun:
            first, begun = time.perf_counter(), seen
    return (seen - begun) / (time.perf_counter() - first)


async def product(settings: Settings, total: int) -> float:
    """The scoring service as it is served: inbox, stored ballots, tallies, running scores, outbox,
    metrics.
    """
    service = build(settings)
    async with service.database.transaction(service.context) as tx:
        rows = [
            UnitRow(name=f"单位{n}", category=CATEGORIES[n % 4], create=True)
            for n in range(1, UNITS + 1)
        ]
        await create_campaign(
            tx, scheme=load_scheme("J", 2026), by=BENCH, campaign_id="j-2026", units=rows
        )
    connection = await asyncpg.connect(settings.database_url)
    before = gc.get_threshold()
    tune_gc()  # as its own process does at start; the bare loop runs as Python comes
    service.bus.start()
    service.runner.start()
    try:
        rate = await speed(service.bus, total)
        started = time.perf_counter()
        while await connection.fetchval("select count(*) from scoring.pending_rescores"):
            await asyncio.sleep(0.01)
        settled = time.perf_counter() - started
    finally:
        await service.runner.stop()
        await service.bus.stop()
        await service.database.close()
        await connection.close()
        gc.set_threshold(*before)
        gc.unfreeze()
    return total / (total / rate + settled)


async def bare(settings: Settings, total: int, batch: int = 500) -> float:
    """getmany, decode, one upsert a batch, commit: no inbox, no stored ballot, no score."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(BARE_TABLE)
    consumer = AIOKafkaConsumer(
        settings.topic_prefix + "ballots",
        **client_options(settings, ADMIN),
        group_id=f"bare-{uuid4()}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2_097_152,
    )
    await consumer.start()
    seen, first = 0, 0.0
    while seen < total:
        records = list(
            chain.from_iterable(
                (await consumer.getmany(timeout_ms=200, max_records=batch)).values()
            )
        )
        if not records:
            continue
        events = [decode("ballots.released.v1", record.value) for record in records]
        counts = Counter(
            chain.from_iterable(ballot.answers for event in events for ballot in event.ballots)
        )
        async with connection.transaction():
            await connection.execute(
                UPSERT,
                *map(
                    list,
                    zip(
                        *((*answer, count) for answer, count in sorted(counts.items())), strict=True
                    ),
                ),
            )
        await consumer.commit()
        if not first:
            first, total = time.perf_counter(), total - len(records)
            continue
        seen += len(records)
    rate = seen / (time.perf_counter() - first)
    await consumer.stop()
    await connection.close()
    return rate


async def single(world: World, settings: Settings, total: int) -> float:
    """What a user would otherwise write: one event a transaction, noted in an inbox, its offset
    committed after it.
    """
    settings = settings.model_copy(update={"batch_max": 1})
    database = await world.core(settings, "scoring")
    async with database.transaction() as tx:
        await tx.run(BARE_TABLE)
    on = Handlers()

    @on(BallotsReleased)
    async def count(tx, event, meta):
        answers = [(*answer, 1) for ballot in event.ballots for answer in sorted(ballot.answers)]
        await tx.run(UPSERT, *map(list, zip(*answers, strict=True)))

    bus = Bus(database, on, settings, context=None)
    bus.start()
    rate = await speed(bus, total)
    await bus.stop()
    return rate


async def ballots(world: World) -> list[Figure]:
    """In turns, because the machine is not the same from one second to the next; the medians.

    So many that the second for which a unit's score rests, before its last ballots are scored, does
    not count for more than they do.
    """
    total, few, rounds = (3_000, 200, 1) if world.quick else (120_000, 1_500, 3)
    loops, ours = [], []
    for _ in range(rounds):
        loops.append(await bare(await filled(world, total), total))
        ours.append(
            await product(await filled(world, total, template=await world.migrated()), total)
        )
    one = await single(world, await filled(world, few), few)
    ratio = statistics.median(a / b for a, b in zip(ours, loops, strict=True))
    return [
        Figure("ballots of 80 answers, product", statistics.median(ours), "ballots/s"),
        Figure("ballots of 80 answers, bare loop of 500", statistics.median(loops), "ballots/s"),
        Figure("ballots of 80 answers, one event a transaction", one, "ballots/s"),
        Figure("ballots: product / bare loop", ratio, "", goal=0.6, better="more"),
        Figure(
            "ballots: product / one event a transaction",
            statistics.median(ours) / one,
            "",
            goal=15,
            better="more",
        ),
        Figure("ballots: decode alone", decode_rate(), "ballots/s"),
    ]


def decode_rate() -> float:
    body = encode(ballot(Random(1)))
    decoder = msgspec.json.Decoder(BallotsReleased)
    started = time.perf_counter()
    for _ in range(20_000):
        decoder.decode(body)
    return 20_000 / (time.perf_counter() - started)


BENCHES = [ballots]
