"""A service, whole: doors, handlers, jobs and what they stand on, as one ASGI application.

The same application object runs alone (`fengping serve casework`) and beside its three siblings in
one process (`fengping up`).
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging import Bus, Handlers
from shared.runtime.jobs import JobRunner, Jobs
from shared.runtime.request_telemetry import RequestTelemetry
from shared.security import audit
from shared.security.keyring import KeyRing
from shared.security.rate_limits import RateLimiter
from shared.security.sessions import Sessions
from shared.storage.connections import Database, check_server
from shared.storage.migrations import is_outdated
from shared.storage.redis import connect
from shared.storage.transaction import Transaction
from shared.web import check_policies, delete_expired_keys, install
from shared.web.idempotency import WriteCoalescer

VERSION = "0.1.0"
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
STARTUP_TIMEOUT_SECONDS = 120.0
"""A service waits this long for its database at start, then gives up with the reason."""


@dataclass(kw_only=True)
class Service:
    """What makes a service. `context` is what its actions find at `tx.context`."""

    name: str
    title: str
    """For OpenAPI, in Chinese."""
    settings: Settings
    routers: Sequence[APIRouter]
    handlers: Handlers
    jobs: Jobs
    context: Any
    templates: Path
    prefixes: tuple[str, ...]
    """Paths this service answers; the gateway and the one-port mode route by them. `/` is
    everything nobody else has.
    """
    run_jobs: bool = True
    relay_linger_seconds: float = 0.0
    """As `Relay.linger_seconds`."""
    app: FastAPI = field(init=False)
    database: Database = field(init=False)
    bus: Bus = field(init=False)
    runner: JobRunner = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(
            self.settings.database_url, self.name, pool_size=self.settings.pool_size
        )
        self.bus = Bus(
            self.database,
            self.handlers,
            self.settings,
            context=self.context,
            relay_linger_seconds=self.relay_linger_seconds,
        )
        self._add_common_jobs()
        self.runner = JobRunner(self.database, self.jobs, context=self.context)
        self.app = self._build()

    def _add_common_jobs(self) -> None:
        """What time brings to every service: its audit log is sealed, old idempotency keys are
        forgotten.
        """
        self.jobs = Jobs(
            self.jobs.table
        )  # `jobs` of ticks.py is shared by all Service objects of a process
        signer = audit.signer_for(
            self.name, KeyRing.load_or_create(self.settings.keyring).signing_key("audit")
        )

        @self.jobs(seconds=5, clock_independent=True)
        async def seal_audit(tx: Transaction) -> bool:
            return await audit.seal(tx, signer) is not None

        @self.jobs(seconds=3600)
        async def forget_idempotency_keys(tx: Transaction) -> bool:
            return await delete_expired_keys(tx)

    def _build(self) -> FastAPI:
        app = FastAPI(
            title=f"风评 · {self.title}",
            version=VERSION,
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            openapi_url=f"{self.prefixes[0].rstrip('/')}/api/openapi.json",
            telemetry={
                "tracing": False,
                "metrics": False,
                "logs": False,
            },  # we have our own, and its labels are chosen with care
        )
        redis = connect(self.settings.redis_url)
        ring = KeyRing.load_or_create(self.settings.keyring)
        app.state.service, app.state.settings, app.state.context = (
            self.name,
            self.settings,
            self.context,
        )
        app.state.database, app.state.redis = self.database, redis
        app.state.sessions = Sessions(
            redis,
            https=self.settings.https,
            idle_seconds=self.settings.session_idle_minutes * 60,
            absolute_seconds=self.settings.session_absolute_hours * 3600,
        )
        app.state.limiter = RateLimiter(redis, secret=ring.derive_key("limiter"))
        app.state.write_coalescer = WriteCoalescer(self.database, self.context)
        install(
            app,
            service=self.name,
            settings=self.settings,
            version=VERSION,
            templates=self.templates,
        )
        for router in self.routers:
            # Into the application itself: FastAPI's inclusion looks through a router twice for
            # every request.
            app.router.routes.extend(router.routes)
        self._add_health(app)
        app.add_middleware(RequestTelemetry, service=self.name)
        check_policies(app, open_paths=OPEN_PATHS | {app.openapi_url or ""})
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        await self._wait_for_database()
        if await is_outdated(self.settings.database_url, self.name):
            raise RuntimeError(
                f"the schema of {self.name} is older than this program: run `fengping migrate` first"
            )
        self.bus.start()
        if self.run_jobs:
            self.runner.start()
        log.info("service started", service=self.name)
        try:
            yield
        finally:
            await self.runner.stop()
            await self.bus.stop()
            await self.app.state.redis.aclose()
            await self.database.close()

    async def _wait_for_database(self) -> None:
        until = monotonic_seconds() + STARTUP_TIMEOUT_SECONDS
        while not await self.database.is_reachable() and monotonic_seconds() < until:
            log.warning("database unavailable, waiting", service=self.name)
            await asyncio.sleep(1)
        await check_server(
            self.database, virtual_time_allowed=self.settings.environment != "production"
        )

    async def readiness(self) -> dict[str, str]:
        """What keeps this service from doing its work: part → reason. Empty when ready.

        A missing Redis is not in it: it signs people out, it stops nothing.
        """
        problems = {
            "bus": self.bus.health_problem(),
            "jobs": self.runner.health_problem() if self.run_jobs else None,
        }
        if not await self.database.is_reachable():
            problems["database"] = "no answer"
        in_use, size = self.database.connections
        telemetry.pool_in_use.labels(self.name).set(in_use)
        telemetry.pool_size.labels(self.name).set(size)
        return {part: reason for part, reason in problems.items() if reason}

    def _add_health(self, app: FastAPI) -> None:
        async def livez() -> dict[str, str]:
            return {"service": self.name, "alive": "yes"}

        async def readyz() -> JSONResponse:
            return readiness_response({self.name: await self.readiness()})

        async def metrics() -> Response:
            return metrics_response()

        for path, endpoint in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
            app.add_api_route(path, endpoint, include_in_schema=False)


def tune_gc() -> None:
    """Tell the garbage collector how a long-lived process uses memory; called once, when everything
    is built.

    What was built at start stays as long as the process, so it need not be looked through again.
    What comes later comes in large batches that die young: looking after every 700 new objects was
    measured to cost a quarter of the time of a consumer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def readiness_response(problems: dict[str, dict[str, str]]) -> JSONResponse:
    """200 when nothing is wrong anywhere, else 503 with service → part → reason."""
    ready = not any(problems.values())
    return JSONResponse({"ready": ready, "problems": problems}, status_code=200 if ready else 503)


def metrics_response() -> Response:
    """All metrics of this process in Prometheus' text format."""
    return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)
