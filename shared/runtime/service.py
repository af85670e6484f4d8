"""A service: routes, handlers, jobs and their infrastructure, as one ASGI application.

The same application runs alone (`fengping serve casework`) and beside the other services in one
process (`fengping up`).
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from redis.asyncio import Redis

from shared.appraisal.events import owned_topics
from shared.appraisal.labels import Role
from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging import Bus, Handlers
from shared.messaging.topics import check_security
from shared.runtime.checkpoint_sender import CheckpointSender
from shared.runtime.jobs import JobRunner, Jobs
from shared.runtime.request_telemetry import RequestTelemetry
from shared.security import audit
from shared.security.approvals import ApprovalKinds, expire_overdue
from shared.security.audit_reading import AuditDirectory
from shared.security.evidence import ArchiveFile, EvidenceSource, evidence_files
from shared.security.evidence_archive import EvidenceArchive
from shared.security.input_seals import SealedStream, seal_inputs, sealed_streams
from shared.security.keyring import KeyRing
from shared.security.log_sealing import seal_log
from shared.security.master_keys import REWRAP_SECONDS, SealedData, rewrap
from shared.security.policies import allow
from shared.security.published_checkpoints import publish_checkpoint
from shared.security.rate_limits import RateLimiter
from shared.security.service_keys import DATABASE, ServiceKeys, check_keys, service_keys
from shared.security.sessions import Sessions
from shared.storage.connections import Database, check_server
from shared.storage.migrations import is_outdated
from shared.storage.redis import connect
from shared.storage.transaction import Transaction
from shared.web import Router, check_policies, delete_expired_keys, install
from shared.web.app_state import app_state
from shared.web.approval_api import approval_api_router
from shared.web.approval_pages import approval_router
from shared.web.audit_pages import audit_router
from shared.web.evidence_pages import evidence_router
from shared.web.idempotency import WriteCoalescer

VERSION = "0.1.0"
LIVENESS_PATH = "/livez"
"""Answers anybody, without details. `/readyz` and `/metrics` are on the internal port only."""
API_READERS = allow(Role.OFFICE, Role.ADMIN)
"""Who reads the OpenAPI document."""
STARTUP_TIMEOUT_SECONDS = 120.0
"""A service waits this long for its database at start, then fails with the reason."""
STARTUP_RETRY_SECONDS = 1.0
SEAL_AUDIT_SECONDS = 5
SEAL_INPUTS_SECONDS = 30
CHECKPOINT_SECONDS = 15
PUBLISH_SECONDS = 60
DELETE_KEYS_SECONDS = 3_600
EXPIRE_APPROVALS_SECONDS = 300

GC_YOUNG_OBJECTS = 200_000


EvidenceFiles = Callable[[Transaction, str], Awaitable[Sequence[ArchiveFile]]]
SNAPSHOT = "set transaction isolation level repeatable read"


@dataclass(kw_only=True)
class Service:
    """A service and everything that runs in it. Actions find `context` at `tx.context`."""

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
    """Paths by which the gateway and the one-port server route; `/` is the rest."""
    run_jobs: bool = True
    sealed: SealedData | None = None
    """What the service encrypts in the database; None if nothing."""
    input_streams: Sequence[SealedStream] = ()
    """Inputs of scores that are sealed beside the events of sealed topics."""
    evidence: EvidenceFiles | None = None
    """The files of this service in an evidence archive, besides its sealed inputs."""
    audit_directory: AuditDirectory = field(default_factory=AuditDirectory)
    """Names for the ids in this service's audit log."""
    approval_kinds: ApprovalKinds = field(default_factory=ApprovalKinds)
    """The acts of this service that two people must agree on."""
    relay_linger_seconds: float = 0.0
    """See `Relay.linger_seconds`."""
    keys: ServiceKeys = field(init=False)
    keyring: KeyRing = field(init=False)
    database: Database = field(init=False)
    redis: Redis = field(init=False)
    sessions: Sessions = field(init=False)
    bus: Bus = field(init=False)
    runner: JobRunner = field(init=False)
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        self.keys = service_keys(self.name, self.settings)
        self.keyring = self.keys.ring
        self.database = Database(
            self.settings.database_url,
            self.name,
            password_file=self.keys.path(DATABASE),
            pool_size=self.settings.pool_size,
        )
        self.redis = connect(self.settings.redis_url)
        self.sessions = self._create_sessions()
        self.bus = self._create_bus()
        # A copy: the table in jobs.py is shared by all Service objects of a process.
        self.jobs = Jobs(self.jobs.table)
        self._add_common_jobs()
        self.runner = JobRunner(self.database, self.jobs, context=self.context)
        self.app = self._build_app()

    def _create_sessions(self) -> Sessions:
        return Sessions(
            self.redis,
            https=self.settings.https,
            idle_seconds=self.settings.session_idle_minutes * 60,
            absolute_seconds=self.settings.session_absolute_hours * 3600,
        )

    def _create_bus(self) -> Bus:
        return Bus(
            self.database,
            self.handlers,
            self.settings,
            context=self.context,
            relay_linger_seconds=self.relay_linger_seconds,
        )

    def _add_common_jobs(self) -> None:
        """Add the jobs that every service has."""

        @self.jobs(seconds=SEAL_AUDIT_SECONDS, clock_independent=True)
        async def seal_audit(tx: Transaction) -> bool:
            return await seal_log(tx, self.keys)

        if self.sealed is not None:
            self._add_rewrapping(self.sealed)

        streams = self.sealed_streams

        @self.jobs(seconds=SEAL_INPUTS_SECONDS, clock_independent=True)
        async def seal_score_inputs(tx: Transaction) -> bool:
            return await seal_inputs(tx, streams)

        @self.jobs(seconds=CHECKPOINT_SECONDS, transactional=False, clock_independent=True)
        async def send_checkpoints(database: Database, _: Any) -> bool:
            return await self.checkpoint_sender.send(database)

        @self.jobs(seconds=PUBLISH_SECONDS, clock_independent=True)
        async def publish_checkpoints(tx: Transaction) -> bool:
            await publish_checkpoint(tx, self.signer.verifier)
            return False

        @self.jobs(seconds=DELETE_KEYS_SECONDS)
        async def forget_idempotency_keys(tx: Transaction) -> bool:
            return await delete_expired_keys(tx)

        @self.jobs(seconds=EXPIRE_APPROVALS_SECONDS)
        async def expire_approvals(tx: Transaction) -> bool:
            return await expire_overdue(tx)

    def _add_rewrapping(self, sealed: SealedData) -> None:
        @self.jobs(seconds=REWRAP_SECONDS, clock_independent=True)
        async def rewrap_data_keys(tx: Transaction) -> bool:
            return await rewrap(tx, sealed)

    # ── evidence ──────────────────────────────────────────────────────────────────────────────────

    @property
    def signer(self) -> audit.Signer:
        """The key that signs this service's audit log."""
        return self.keys.signing.signer(self.name)

    @property
    def checkpoint_sender(self) -> CheckpointSender:
        """What sends this service's checkpoints out of the system."""
        return CheckpointSender(
            verifier=self.signer.verifier,
            witness_url=self.settings.witness_url,
            file=self.settings.checkpoint_file,
        )

    @property
    def sealed_streams(self) -> tuple[SealedStream, ...]:
        """The streams of inputs that this service seals."""
        return sealed_streams(owned_topics(self.name), self.input_streams)

    async def export_evidence(self, archive: EvidenceArchive, campaign_id: str) -> None:
        """Write this service's part of an evidence archive, as of one instant."""
        source = EvidenceSource(self.sealed_streams, self.signer.verifier)
        async with self.database.transaction(self.context, setup_sql=SNAPSHOT) as tx:
            files = list(evidence_files(tx, source, campaign_id))
            files += await self.evidence(tx, campaign_id) if self.evidence else ()
            await archive.add_part(self.signer, files)

    # ── application ───────────────────────────────────────────────────────────────────────────────

    def _build_app(self) -> FastAPI:
        app = self._create_app()
        self._set_state(app)
        install(
            app,
            service=self.name,
            settings=self.settings,
            version=VERSION,
            templates=self.templates,
        )
        for router in (*self.routers, *self._common_routers()):
            # FastAPI's `include_router` would search an included router twice for every request.
            app.router.routes.extend(router.routes)
        app.router.routes.extend(self._description_router(app).routes)
        self._add_liveness_route(app)
        app.add_middleware(RequestTelemetry, service=self.name)
        check_policies(app, open_paths=frozenset({LIVENESS_PATH}))
        return app

    def _common_routers(self) -> list[APIRouter]:
        """Return the routes that every service has under its own prefix."""
        prefix = self.prefixes[0]
        routers = [audit_router(prefix, self.audit_directory), evidence_router(prefix)]
        if self.approval_kinds:
            routers.append(approval_router(prefix, self.approval_kinds))
            routers.append(approval_api_router(prefix, self.approval_kinds))
        return routers

    def _create_app(self) -> FastAPI:
        return FastAPI(
            title=f"风评 · {self.title}",
            version=VERSION,
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            # RequestTelemetry replaces FastAPI's own, which labels metrics with paths.
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )

    def _description_router(self, app: FastAPI) -> Router:
        """Return the route of the OpenAPI document, for those who connect other systems."""
        router = Router(include_in_schema=False)

        @router.get(f"{self.prefixes[0].rstrip('/')}/api/openapi.json", policy=API_READERS)
        async def openapi() -> JSONResponse:
            return JSONResponse(app.openapi())

        return router

    def _set_state(self, app: FastAPI) -> None:
        state = app_state(app)
        state.service = self.name
        state.settings = self.settings
        state.context = self.context
        state.database = self.database
        state.redis = self.redis
        state.sessions = self.sessions
        state.limiter = RateLimiter(self.redis, secret=self.keyring.derive_key("limiter"))
        state.write_coalescer = WriteCoalescer(self.database, self.context)

    def _add_liveness_route(self, app: FastAPI) -> None:
        async def livez() -> dict[str, str]:
            return {"alive": "yes"}

        app.add_api_route(LIVENESS_PATH, livez, include_in_schema=False)

    # ── lifecycle ─────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        await self._wait_for_database()
        await self._check_database()
        check_security(self.settings)
        self.bus.start()
        if self.run_jobs:
            self.runner.start()
        log.info("service started", service=self.name)
        try:
            yield
        finally:
            await self.runner.stop()
            await self.bus.stop()
            await self.close()

    async def close(self) -> None:
        """Close the connections to Redis and PostgreSQL."""
        await self.redis.aclose()
        await self.database.close()

    async def _wait_for_database(self) -> None:
        """Wait until the database answers, or until STARTUP_TIMEOUT_SECONDS have passed."""
        deadline = monotonic_seconds() + STARTUP_TIMEOUT_SECONDS
        while not await self.database.is_reachable() and monotonic_seconds() < deadline:
            log.warning("database unavailable, waiting", service=self.name)
            await asyncio.sleep(STARTUP_RETRY_SECONDS)

    async def _check_database(self) -> None:
        """Raise if the database is unreachable, unsafe or older than the code."""
        production = self.settings.environment == "production"
        await check_server(self.database, virtual_time_allowed=not production)
        if await is_outdated(self.database.address):
            raise RuntimeError(
                f"the schema of {self.name} is outdated: run `fengping migrate` first"
            )
        async with self.database.transaction() as tx:
            await check_keys(tx, self.keys)

    async def readiness(self) -> dict[str, str]:
        """Return what keeps this service from working, part → reason; empty when ready.

        Redis is not included: without it users must sign in again, and nothing else stops.
        """
        reachable = await self.database.is_reachable()
        self._set_pool_gauges()
        problems = {
            "bus": self.bus.health_problem(),
            "jobs": self.runner.health_problem() if self.run_jobs else None,
            "database": None if reachable else "no answer",
        }
        return {part: reason for part, reason in problems.items() if reason}

    def _set_pool_gauges(self) -> None:
        in_use, size = self.database.connections
        telemetry.pool_in_use.labels(self.name).set(in_use)
        telemetry.pool_size.labels(self.name).set(size)


def tune_gc() -> None:
    """Tune the garbage collector for a long-lived process; called once, after start-up.

    Objects of start-up live as long as the process and need not be scanned. Later objects come in
    large batches that die young: scanning after every 700 allocations was measured to cost a
    quarter of a consumer's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)
