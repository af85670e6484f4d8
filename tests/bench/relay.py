"""The relay: outbox rows drained per second, and the time from insert to consumer when nothing else
goes on.
"""

import asyncio
import statistics
import time
from uuid import uuid4

from shared.appraisal.events import ComplaintRated
from shared.messaging import Bus, Handlers, prepare_kafka
from shared.messaging.relay import Relay
from tests.bench.world import Figure, World

ROWS_FULL, ROWS_QUICK = 60_000, 4_000


def rated(complaint, now):
    return ComplaintRated(occurred_at=now, complaint_id=complaint, campaign_id="j-2026", option=1)


async def drain(world: World) -> list[Figure]:
    """Outbox rows per second, written beforehand, 500 bytes with headers, two aggregates of three
    events each per transaction.
    """
    settings = await world.installation()
    database = await world.core(settings, "intake")
    await prepare_kafka(settings)
    rows = ROWS_QUICK if world.quick else ROWS_FULL
    while rows > 0:
        async with database.transaction() as tx:
            for complaint in (uuid4() for _ in range(500)):
                for _ in range(4):
                    tx.publish(rated(complaint, tx.now))
        rows -= 2_000
    relay = Relay(database, settings)
    total, _ = await relay.backlog()
    started = time.perf_counter()
    running = asyncio.create_task(relay.run())
    while (await relay.backlog())[0]:
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [
        Figure("relay: outbox rows drained", total / seconds, "rows/s", goal=20_000, better="more")
    ]


async def wake(world: World) -> list[Figure]:
    """From the start of the writing transaction to the committed effect at the consumer, one event at
    a time.
    """
    settings = await world.installation()
    publisher, consumer = (
        await world.core(settings, "intake"),
        await world.core(settings, "casework"),
    )
    await prepare_kafka(settings)
    arrived: asyncio.Queue[float] = asyncio.Queue()
    on = Handlers()

    @on(ComplaintRated)
    async def consume(tx, event, meta):
        arrived.put_nowait(time.perf_counter())

    buses = [
        Bus(publisher, Handlers(), settings, context=None),
        Bus(consumer, on, settings, context=None),
    ]
    for bus in buses:
        bus.start()
    took = []
    for n in range(25 if world.quick else 200):
        async with publisher.transaction() as tx:
            tx.publish(rated(uuid4(), tx.now))
        written = time.perf_counter()
        took.append(await asyncio.wait_for(arrived.get(), 30) - written)
        await asyncio.sleep(0.02 + (n % 7) / 100)
    await asyncio.gather(*(bus.stop() for bus in buses))
    took = sorted(1000 * t for t in took[5:])
    return [
        Figure(
            "relay: commit to consumer, idle, p50",
            statistics.median(took),
            "ms",
            goal=15,
            better="less",
        ),
        Figure("relay: commit to consumer, idle, p99", took[int(len(took) * 0.99) - 1], "ms"),
    ]


BENCHES = [drain, wake]
