"""Run everything in one process: embedded servers, all four services on one port, and the demo."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from services.cli.demo import DemoInstallation, demo_password, prepare_demo
from services.cli.installation import embedded_settings, prepare
from services.cli.server import check_port, running, stop_event
from services.cli.witness_process import WitnessProcess
from shared.embedded import Stack
from shared.foundation import telemetry
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log, log_failure
from shared.messaging import prepare_kafka

OnProgress = Callable[[str, int, int], None]
"""Receives a step, the parts done and the parts in total."""
PREPARING = "schemas and topics"


async def up(
    data: Path,
    *,
    host: str,
    port: int,
    internal_port: int,
    demo: bool,
    on_progress: OnProgress,
    on_ready: Callable[[Settings, DemoInstallation | None], None],
    run_demo: Callable[[Settings, DemoInstallation], Awaitable[None]],
) -> None:
    """Start servers and services, run the demo if asked, and serve until Ctrl-C.

    Stops everything that this process started.
    """
    check_port(host, port, "--port")
    check_port("127.0.0.1", internal_port, "--internal-port")
    stopping = stop_event()
    stack = Stack(data)
    async with AsyncExitStack() as exits:
        await exits.enter_async_context(stack.running(on_progress))
        witness = WitnessProcess(data)
        witness.choose_port()
        settings = embedded_settings(stack, host=host, port=port, demo=demo).model_copy(
            update={"internal_port": internal_port}
        )
        installation = await _prepare(settings, data, demo=demo, on_progress=on_progress)
        await exits.enter_async_context(witness.running(settings))
        await exits.enter_async_context(running(settings))
        supervising = stack.supervise(after_restart=partial(prepare_again, settings))
        tasks = [asyncio.create_task(supervising)]
        on_ready(settings, installation)
        if installation:
            playing = contain(run_demo(settings, installation))
            tasks.append(asyncio.create_task(playing))
        await _wait_until_stopped(stopping, tasks)


async def _prepare(
    settings: Settings,
    data: Path,
    *,
    demo: bool,
    on_progress: OnProgress,
) -> DemoInstallation | None:
    on_progress(PREPARING, 0, 1)
    await prepare(settings, demo=demo)
    installation = await prepare_demo(settings, demo_password(data)) if demo else None
    on_progress(PREPARING, 1, 1)
    return installation


async def prepare_again(settings: Settings, server: str) -> None:
    """Give a broker that came back without its disk users, rules and topics again."""
    if not server.startswith("kafka"):
        return
    try:
        await prepare_kafka(settings)
    except Exception as error:
        log_failure("Kafka not prepared after its restart", error)


async def contain(demo: Awaitable[None]) -> None:
    """Await a demo; its failure is logged and does not stop the installation."""
    try:
        await demo
    except Exception as error:
        log.error("demo ended early", **telemetry.describe(error))


async def _wait_until_stopped(stopping: asyncio.Event, tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for the stop or for a task that fails; a demo that has ended does not stop anything."""
    waiting = asyncio.create_task(stopping.wait())
    pending = {waiting, *tasks}
    try:
        while waiting in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
