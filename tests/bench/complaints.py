"""Complaints: how many a second the form takes, against a bare insert under the same server; and from the form to the notice."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from random import Random
from uuid import UUID, uuid4

import asyncpg

from services.simulate.client import Client
from tests.bench.world import PASSWORD, Figure, World

CONNECTIONS = 16


def body(rng: Random, campaign: str, unit: str) -> dict[str, str]:
    return {
        "campaign_id": campaign, "channel": "hotline", "kind": "complaint", "urgency": "normal", "unit_id": unit, "problem_item": "08",
        "original": f"来电人反映，本月{rng.randint(1, 28)}日到窗口办事，工作人员态度生硬，材料反复退回，仍未办结。" * 4,
        "summary": f"反映窗口工作人员态度生硬，材料反复退回，往返{rng.randint(2, 9)}次仍未办结，第{rng.randint(1, 10**6)}次",
        "identity": "confidential", "phone": f"138{rng.randint(10**7, 10**8 - 1)}", "name": "来电人",
    }  # fmt: skip


async def post_rate(port: int, headers: dict[str, str], make: Callable[[Random], dict[str, str]], seconds: float) -> float:
    """Requests answered 201 per second, over keep-alive connections that each wait for their answer."""
    done, until = [0], time.perf_counter() + seconds

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        rng = Random(number)
        while time.perf_counter() < until:
            content = json.dumps(make(rng)).encode()
            lines = {**headers, "Idempotency-Key": str(uuid4()), "Content-Type": "application/json", "Content-Length": str(len(content))}
            head = "POST /intake/api/complaints HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
            writer.write(head.encode() + b"\r\n" + content)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(answer.split("content-length:")[1].split("\r\n")[0])
            text = await reader.readexactly(length)
            assert " 201 " in answer.splitlines()[0] + " ", (answer.splitlines()[0], text)
            done[0] += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection(n) for n in range(CONNECTIONS)))
    return done[0] / (time.perf_counter() - started)


async def post_against_bare(world: World) -> list[Figure]:
    """The product takes a complaint with vault, event, audit and key; the bare server inserts one row. In turns, on the same machine."""
    seconds, rounds = (2.0, 1) if world.quick else (6.0, 3)
    ours, theirs = [], []
    async with world.product() as product, world.serving("bare", await world.installation()) as bare:
        headers = {"Authorization": f"Bearer {product.token}"}
        for _ in range(rounds):
            ours.append(await post_rate(product.port, headers, lambda rng: body(rng, product.campaign_id, "G02"), seconds))
            theirs.append(await post_rate(bare, {}, lambda rng: body(rng, product.campaign_id, "G02"), seconds))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [
        Figure("complaint POST, product", statistics.median(ours), "requests/s"),
        Figure("complaint POST, bare FastAPI + asyncpg", statistics.median(theirs), "requests/s"),
        Figure("complaint POST, product / bare", ratio, "", goal=0.6, better="more"),
    ]


VISIBLE = """
select c.source_id, n.id from notify.notices n join casework.cases c on c.id::text = n.subject_id where n.id > $1 order by n.id limit 500
"""


async def form_to_notice(world: World) -> list[Figure]:
    """POST of a complaint until the notice of its case can be read, all services in one process, at a steady rate."""
    rate, seconds = (20, 4) if world.quick else (50, 20)
    begun: dict[UUID, float] = {}
    took: dict[UUID, float] = {}
    async with world.product() as product, Client(product.url) as door:
        operator = await door.sign_in("pingyiban", PASSWORD)
        watching = asyncio.create_task(_watch(product.database_url, begun, took))
        rng = Random(5)
        async with asyncio.TaskGroup() as posting:
            for _ in range(rate * seconds):
                posting.create_task(_post(operator, body(rng, product.campaign_id, "G02"), begun))
                await asyncio.sleep(1 / rate)
        async with asyncio.timeout(60):
            while len(took) < rate * seconds:
                await asyncio.sleep(0.05)
        watching.cancel()
    milliseconds = sorted(1000 * one for one in list(took.values())[rate:])
    return [
        Figure(f"form to notice at {rate}/s, p50", statistics.median(milliseconds), "ms", goal=60, better="less"),
        Figure(f"form to notice at {rate}/s, p99", milliseconds[int(len(milliseconds) * 0.99) - 1], "ms", goal=400, better="less"),
    ]


async def _post(operator: Client, complaint: dict[str, str], begun: dict[UUID, float]) -> None:
    started = time.perf_counter()
    answer = await operator.register_complaint(complaint, key=uuid4())
    begun[UUID(answer.body["id"])] = started


async def _watch(url: str, begun: dict[UUID, float], took: dict[UUID, float]) -> None:
    """Note when the first notice of each complaint's case can be read."""
    connection, last, early = await asyncpg.connect(url), UUID(int=0), {}
    while True:
        for complaint_id, notice_id in await connection.fetch(VISIBLE, last):
            last = notice_id
            early.setdefault(UUID(str(complaint_id)), time.perf_counter())
        for complaint_id in early.keys() & begun.keys():
            took.setdefault(complaint_id, early[complaint_id] - begun[complaint_id])
        await asyncio.sleep(0.004)


BENCHES = [post_against_bare, form_to_notice]
