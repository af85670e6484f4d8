"""Deadlines: a job among a million that are not due, and ten thousand that lapse at once while
people go on working.
"""

import asyncio
import statistics
import time
from itertools import count
from random import Random
from uuid import uuid4

import asyncpg

from services.casework.app import build
from services.simulate.client import Client
from services.simulate.releases import release_summary
from shared.storage.connections import Database
from tests.bench.complaints import body
from tests.bench.world import PASSWORD, Figure, Product, World

NUMBER = "'ZF2026-9' || lpad(n::text, 5, '0')"
NEVER = "timestamptz '2099-01-01'"
A_WHILE_AGO = "now() - make_interval(secs => abs(hashtext(c.id::text)) % 100000 / 1000.0)"


async def copies(connection: asyncpg.Connection, table: str, source: str, **changed: str) -> None:
    """Insert the rows of `source`, with some columns changed (SQL), without their audit entries."""
    await connection.execute(f"alter table {table} disable trigger user")
    rows = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0", table
    )
    names = [row["attname"] for row in rows]
    columns = ", ".join(changed.get(name, f"o.{name}") for name in names)
    await connection.execute(
        f"insert into {table} ({', '.join(names)}) select {columns} from {source}"
    )
    await connection.execute(f"alter table {table} enable trigger user")


async def jobs_among_many(world: World) -> list[Figure]:
    """The sweep for lapsed deadlines with nothing due, when a thousand are running and when a million
    are; medians.
    """
    few, many = (1_000, 20_000) if world.quick else (1_000, 1_000_000)
    settings = await world.installation(template=await world.migrated())
    async with world.product(settings) as product:
        await one_case(product)
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(
        "drop index casework.uq_deadlines_active"
    )  # all of them are of one case
    await connection.execute(f"update casework.deadlines set due_at = {NEVER}, next_warn_at = null")
    service = build(settings)
    sweep = next(job for job in service.jobs.table if job.name == "lapse_deadlines").function
    times: dict[int, float] = {}
    for wanted in (few, many):
        running = await connection.fetchval(
            "select count(*) from casework.deadlines where state = 'running'"
        )
        source = f"(select * from casework.deadlines where case_id is not null limit 1) o, generate_series(1, {wanted - running})"
        await copies(
            connection, "casework.deadlines", source, id="gen_random_uuid()", state="'running'"
        )
        await connection.execute("vacuum analyze casework.deadlines")
        times[wanted] = statistics.median(
            [await _seconds(service.database, sweep, service.context) for _ in range(300)]
        )
    await service.database.close()
    await connection.close()
    one, other = (1e6 * times[wanted] for wanted in (few, many))
    return [
        Figure(f"job with nothing due, {few:,} deadlines running", one, "µs"),
        Figure(f"job with nothing due, {many:,} deadlines running", other, "µs"),
        Figure(
            f"job: {many:,} running / {few:,} running", other / one, "", goal=1.2, better="less"
        ),
    ]


async def _seconds(database: Database, sweep, context) -> float:
    started = time.perf_counter()
    async with database.transaction(context) as tx:
        assert not await sweep(tx)
    return time.perf_counter() - started


async def one_case(product: Product) -> None:
    """A complaint, and its case with a deadline."""
    async with Client(product.url) as client:
        operator = await client.sign_in("pingyiban", PASSWORD)
        complaint = body(Random(1), product.campaign_id)
        registered = await operator.register_complaint(complaint, key=uuid4())
        reviewer = await client.sign_in("shenhe", PASSWORD)
        await release_summary(reviewer, registered.body["number"], key=uuid4())
    connection = await asyncpg.connect(product.database_url)
    async with asyncio.timeout(30):
        while not await connection.fetchval(
            "select count(*) from casework.cases where unit_id is not null"
        ):
            await asyncio.sleep(0.05)
    await connection.close()


async def lapse_wave(world: World) -> list[Figure]:
    """Measure a wave of deadlines that lapse together: the time until each is notified, and the
    response times meanwhile.
    """
    wave, before_seconds = (300, 2) if world.quick else (10_000, 20)
    async with world.product() as product, Client(product.url) as client:
        await one_case(product)
        office = await client.sign_in("pingyiban", PASSWORD)
        connection = await asyncpg.connect(product.database_url)
        source = f"(select * from casework.cases limit 1) o, generate_series(1, {wave}) n"
        await copies(
            connection,
            "casework.cases",
            source,
            id="gen_random_uuid()",
            number=NUMBER,
            source_id="gen_random_uuid()",
        )
        source = "(select * from casework.deadlines where case_id is not null and state = 'running' limit 1) o, casework.cases c where c.number like 'ZF2026-9%'"
        changed = {
            "id": "gen_random_uuid()",
            "case_id": "c.id",
            "state": "'running'",
            "next_warn_at": "null",
            "due_at": NEVER,
        }
        await copies(connection, "casework.deadlines", source, **changed)
        await connection.execute("vacuum analyze")
        calm = await _answers(
            office, product.campaign_id, asyncio.create_task(asyncio.sleep(before_seconds))
        )
        # In one moment, but one after the other: over the last hundred seconds, in no order of
        # their rows.
        await connection.execute(
            f"update casework.deadlines c set due_at = {A_WHILE_AGO} where due_at = {NEVER}"
        )
        started = time.perf_counter()
        busy = await _answers(
            office, product.campaign_id, asyncio.create_task(_wait_until_notified(connection, wave))
        )
        seconds = time.perf_counter() - started
        out_of_order = await connection.fetchval(ORDER)
        await connection.close()
    assert out_of_order == 0, f"{out_of_order} lapses were notified before an older one"
    return [
        Figure(f"{wave:,} deadlines lapse at once: until all are notified", seconds, "s"),
        Figure("answer of the API before, p99", 1000 * _p99(calm), "ms"),
        Figure("answer of the API meanwhile, p50", 1000 * statistics.median(busy), "ms"),
        Figure("answer of the API meanwhile, p99", 1000 * _p99(busy), "ms"),
    ]


ORDER = """
select count(*) from (
  select (convert_from(body, 'utf8')::jsonb ->> 'due_at')::timestamptz as due,
         lag((convert_from(body, 'utf8')::jsonb ->> 'due_at')::timestamptz) over (order by id) as before
  from casework.outbox where type = 'deadline.lapsed.v1'
) t where due < before
"""
NOTIFIED = """
select count(distinct n.subject_id) from notify.notifications n join casework.cases c on c.id::text = n.subject_id
where c.number like 'ZF2026-9%'
"""


async def _wait_until_notified(connection: asyncpg.Connection, wave: int) -> None:
    async with asyncio.timeout(300):
        while await connection.fetchval(NOTIFIED) < wave:
            await asyncio.sleep(0.5)


async def _answers(office: Client, campaign: str, until: asyncio.Task[None]) -> list[float]:
    """How long each request took until the task is done: twenty a second, a case read and a
    complaint registered in turn.
    """
    took: list[float] = []
    rng = Random(3)

    async def ask(turn: int) -> None:
        started = time.perf_counter()
        if turn % 2:
            await office.case(f"ZF2026-9{rng.randint(1, 300):05d}")
        else:
            await office.register_complaint(body(rng, campaign), key=uuid4())
        took.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as asking:
        for turn in count():
            asking.create_task(ask(turn))
            await asyncio.sleep(0.05)
            if until.done():
                break
    await until
    return took


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99) - 1]


BENCHES = [jobs_among_many, lapse_wave]
