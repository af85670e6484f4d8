"""Complaints: how many a second the form takes, against a bare insert under the same server; and
from the form to the notification.
"""

import asyncio
import json
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from random import Random
from uuid import UUID, uuid4

import asyncpg

from services.simulate.client import Client
from services.simulate.units import UNITS
from tests.bench.world import PASSWORD, Figure, Product, World

CONNECTIONS = (16, 64)
"""At once, each waiting for its answer: what share a moment share a transaction, so more of them
cost less each.
"""
UNITS = [body.unit_id for body in UNITS]


def body(rng: Random, campaign: str) -> dict[str, str]:
    return {
        "campaign_id": campaign,
        "channel": "hotline",
        "kind": "complaint",
        "urgency": "normal",
        "problem_item": "08",
        "unit_id": rng.choice(UNITS),
        "complaint_text": f"来电人反映，本月{rng.randint(1, 28)}日到窗口办事，工作人员态度生硬，材料反复退回，仍未办结。"
        * 4,
        "redacted_summary": f"反映窗口工作人员态度生硬，材料反复退回，往返{rng.randint(2, 9)}次仍未办结，第{rng.randint(1, 10**6)}次",
        "identity": "confidential",
        "phone": f"138{rng.randint(10**7, 10**8 - 1)}",
        "name": "来电人",
    }


async def post_rate(
    port: int,
    headers: dict[str, str],
    make: Callable[[Random], dict[str, str]],
    seconds: float,
    *,
    connections: int,
) -> float:
    """Requests answered 201 per second, over keep-alive connections that each wait for their
    answer.
    """
    done, until = [0], time.perf_counter() + seconds

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        rng = Random(number)
        while time.perf_counter() < until:
            content = json.dumps(make(rng)).encode()
            lines = {
                **headers,
                "Idempotency-Key": str(uuid4()),
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
            }
            head = "POST /intake/api/complaints HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "".join(
                f"{k}: {v}\r\n" for k, v in lines.items()
            )
            writer.write(head.encode() + b"\r\n" + content)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(answer.split("content-length:")[1].split("\r\n")[0])
            text = await reader.readexactly(length)
            assert " 201 " in answer.splitlines()[0] + " ", (answer.splitlines()[0], text)
            done[0] += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection(n) for n in range(connections)))
    return done[0] / (time.perf_counter() - started)


async def post_against_bare(world: World) -> list[Figure]:
    """Intake signs in, seals, records and sends; the bare server inserts one row. In turns, on the
    same machine.
    """
    seconds, rounds = (1.0, 1) if world.quick else (6.0, 3)
    figures: list[Figure] = []
    async with world.intake() as product, world.serving("bare", await world.installation()) as bare:
        headers, make = (
            {"Authorization": f"Bearer {product.token}"},
            partial(body, campaign=product.campaign_id),
        )
        for connections in CONNECTIONS:
            rates = [
                (
                    await post_rate(product.port, headers, make, seconds, connections=connections),
                    await post_rate(bare, {}, make, seconds, connections=connections),
                )
                for _ in range(rounds)
            ]
            ours, theirs = (statistics.median(each) for each in zip(*rates, strict=True))
            ratio = statistics.median(a / b for a, b in rates)
            figures += [
                Figure(f"complaint POST, {connections} at once, product", ours, "requests/s"),
                Figure(
                    f"complaint POST, {connections} at once, bare FastAPI + asyncpg",
                    theirs,
                    "requests/s",
                ),
                Figure(
                    f"complaint POST, {connections} at once, product / bare",
                    ratio,
                    "",
                    goal=0.6,
                    better="more",
                ),
            ]
    return figures


VISIBLE = "select id, subject_id from notify.notifications where id > $1 order by id limit 2000"
COMPLAINTS = "select id::text as case_id, source_id from casework.cases"


async def form_to_notification(world: World) -> list[Figure]:
    """POST of a complaint until the notification of its case can be read, all services in one process, at
    a steady rate.
    """
    rate, seconds = (20, 4) if world.quick else (50, 40)
    begun: dict[UUID, float] = {}
    seen: dict[str, float] = {}
    async with world.product() as product, Client(product.url) as client:
        operator = await client.sign_in("pingyiban", PASSWORD)
        watcher = await asyncpg.connect(product.database_url)
        watching = asyncio.create_task(_watch(watcher, seen))
        rng = Random(5)
        async with asyncio.TaskGroup() as posting:
            for _ in range(rate * seconds):
                posting.create_task(_post(operator, body(rng, product.campaign_id), begun))
                await asyncio.sleep(1 / rate)
        reader = await asyncpg.connect(product.database_url)
        async with asyncio.timeout(60):
            while begun.keys() - (visible := await _visible(reader, seen)).keys():
                await asyncio.sleep(0.2)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for connection in (watcher, reader):
            await connection.close()
    settled = list(begun.items())[
        len(begun) // 2 :
    ]  # the brokers compile themselves for half a minute
    milliseconds = sorted(1000 * (visible[one] - at) for one, at in settled)
    return [
        Figure(
            f"form to notification at {rate}/s, p50",
            statistics.median(milliseconds),
            "ms",
            goal=60,
            better="less",
        ),
        Figure(
            f"form to notification at {rate}/s, p99",
            milliseconds[int(len(milliseconds) * 0.99) - 1],
            "ms",
            goal=400,
            better="less",
        ),
    ]


@asynccontextmanager
async def reading(product: Product) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(product.database_url)
    yield connection
    await connection.close()


async def _post(operator: Client, complaint: dict[str, str], begun: dict[UUID, float]) -> None:
    started = time.perf_counter()
    answer = await operator.register_complaint(complaint, key=uuid4())
    begun[UUID(answer.body["id"])] = started


async def _watch(connection: asyncpg.Connection, seen: dict[str, float]) -> None:
    """Note when the first notification about each case could be read. Asks little, so that asking costs
    little.
    """
    passed: deque[UUID] = deque([UUID(int=0)], maxlen=65)
    for turn in count():
        # A notification with a smaller number may have been committed later: from where we were a moment
        # ago, now and then a second ago.
        since = passed[0] if turn % 8 == 0 else passed[-min(4, len(passed))]
        for notification_id, case_id in await connection.fetch(VISIBLE, since):
            seen.setdefault(case_id, time.perf_counter())
            passed[-1] = max(passed[-1], notification_id)
        passed.append(passed[-1])
        await asyncio.sleep(0.015)


async def _visible(connection: asyncpg.Connection, seen: dict[str, float]) -> dict[UUID, float]:
    """Complaint → when the notification of its case could be read."""
    cases = await connection.fetch(COMPLAINTS)
    return {
        UUID(str(row["source_id"])): seen[row["case_id"]] for row in cases if row["case_id"] in seen
    }


BENCHES = [post_against_bare, form_to_notification]
