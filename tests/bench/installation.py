"""The whole installation as `fengping up --no-demo` starts it: time to readiness, and resources
while idle.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import psutil

from tests.bench.world import Figure, World, free_port

READY_SECONDS = 90


async def start_and_rest(world: World) -> list[Figure]:
    """A first start makes everything; the second is the warm one. Then it is left alone."""
    data, settle, watch = world.folder / "whole", *((1, 2) if world.quick else (40, 20))
    async with up(data) as (_, cold):
        pass
    async with up(data) as (process, warm):
        await asyncio.sleep(settle)
        began, started = cpu(process), time.perf_counter()
        await asyncio.sleep(watch)
        share = (cpu(process) - began) / (time.perf_counter() - started)
        megabytes = memory(process)
    return [
        Figure("first start, until /readyz", cold, "s"),
        Figure("warm start, until /readyz", warm, "s", goal=6, better="less"),
        Figure("memory of the whole installation, idle", megabytes, "MB", goal=600, better="less"),
        Figure(
            "processor of the whole installation, idle",
            100 * share,
            "% of a core",
            goal=25,
            better="less",
        ),
    ]


@asynccontextmanager
async def up(data: Path) -> AsyncIterator[tuple[psutil.Process, float]]:
    """The installation, running, and how long it took until it was ready."""
    started = time.perf_counter()
    internal_port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        "up",
        "--no-demo",
        "--port",
        str(free_port()),
        "--internal-port",
        str(internal_port),
        "--data",
        str(data),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with (
            asyncio.timeout(READY_SECONDS),
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{internal_port}") as client,
        ):
            while not await _ready(client):
                assert child.returncode is None, "the installation ended before it was ready"
                await asyncio.sleep(0.02)
        yield psutil.Process(child.pid), time.perf_counter() - started
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


async def _ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.HTTPError:
        return False


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu(process: psutil.Process) -> float:
    """Processor seconds of the process and its servers."""
    return sum(sum(each.cpu_times()[:2]) for each in family(process))


def memory(process: psutil.Process) -> float:
    """Megabytes: what each process has for itself and its share of what several have together
    (PSS).
    """
    return sum(each.memory_full_info().pss for each in family(process)) / 1024**2


BENCHES = [start_and_rest]
