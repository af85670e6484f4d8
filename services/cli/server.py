"""Serve services over HTTP until the program is asked to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

import uvicorn

from services.cli.http_limits import ConnectionLimits, limited_protocol
from services.cli.installation import build
from shared.embedded import SetupError
from shared.foundation.settings import Settings
from shared.runtime.one_port import SinglePortApp
from shared.runtime.service import Service, tune_gc
from shared.storage.schema import SERVICES

POLL_SECONDS: Final = 0.02
SHUTDOWN_SECONDS: Final = 20


class Server(uvicorn.Server):
    """uvicorn without signal handlers: the program handles signals itself."""

    def __init__(self, app: Any, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            access_log=False,
            log_config=None,
            loop="none",
            server_header=False,
            http=limited_protocol(
                limits=ConnectionLimits(per_address=settings.connections_per_address),
                trusted_proxies=settings.trusted_proxies,
            ),
            ws="none",
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or "",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tune the garbage collector for the loaded application."""
        await super().startup(sockets)
        tune_gc()

    def capture_signals(self) -> Any:
        """Leave signals to the program, which stops everything in order."""
        return nullcontext()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[list[Service]]:
    """Serve all four services on one port; on exit they have stopped."""
    services = [build(name, settings) for name in SERVICES]
    server = Server(SinglePortApp(services), settings)
    task = asyncio.create_task(server.serve())
    try:
        await _wait_until_started(server, task)
        yield services
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


async def _wait_until_started(server: Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the web server stopped before it was ready")
        await asyncio.sleep(POLL_SECONDS)


def stop_event() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event


def check_port(host: str, port: int) -> None:
    """Raise SetupError if the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or "cannot be used"
            raise SetupError(
                f"port {port} on {host}: {reason.lower()}",
                "choose another with --port N, or stop the program that uses it",
            ) from error
