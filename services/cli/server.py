"""Serve services over HTTP until the program is asked to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

import uvicorn

from services.cli.http_limits import ConnectionLimits, limited_protocol
from services.cli.installation import build
from shared.embedded import SetupError
from shared.foundation.settings import Settings
from shared.runtime.internal_app import InternalApp
from shared.runtime.one_port import SinglePortApp
from shared.runtime.service import Service, tune_gc
from shared.storage.schema import SERVICES

POLL_SECONDS: Final = 0.02
SHUTDOWN_SECONDS: Final = 20


class NotStarted(RuntimeError):
    """A server stopped before it accepted connections; the log says why."""


class Server(uvicorn.Server):
    """uvicorn without signal handlers: the program handles signals itself."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        config = uvicorn.Config(
            app,
            **options,
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

    def capture_signals(self) -> Any:
        """Leave signals to the program, which stops everything in order."""
        return nullcontext()


def public_server(app: Any, settings: Settings) -> Server:
    """Return the server of pages and API."""
    return Server(app, settings, host=settings.host, port=settings.port, lifespan="on")


def internal_server(services: Sequence[Service], settings: Settings) -> Server:
    """Return the server of `/readyz` and `/metrics`, to be started when the services run."""
    host, port = settings.internal_host, settings.health_port
    return Server(InternalApp(services), settings, host=host, port=port, lifespan="off")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[list[Service]]:
    """Serve all four services on one port; on exit they have stopped."""
    services = [build(name, settings) for name in SERVICES]
    async with serving(SinglePortApp(services), services, settings):
        yield services


@asynccontextmanager
async def serving(app: Any, services: Sequence[Service], settings: Settings) -> AsyncIterator[None]:
    """Serve an application of services, and their health on the internal port.

    On exit both have stopped. Raises NotStarted.
    """
    async with _started(public_server(app, settings)):
        tune_gc()
        async with _started(internal_server(services, settings)):
            yield


@asynccontextmanager
async def _started(server: Server) -> AsyncIterator[None]:
    task = asyncio.create_task(server.serve())
    try:
        await _wait_until_started(server, task)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


async def _wait_until_started(server: Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            task.result()
            raise NotStarted("the web server stopped before it was ready")
        await asyncio.sleep(POLL_SECONDS)


def stop_event() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event


def check_port(host: str, port: int, option: str) -> None:
    """Raise SetupError, which names the command's option, if the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or "cannot be used"
            raise SetupError(
                f"port {port} on {host}: {reason.lower()}",
                f"choose another with {option} N, or stop the program that uses it",
            ) from error
