"""The fault rig: one installation on real servers, its processes, its clock, what is in its logs,
and whether it is at rest.

Everything runs on 127.0.0.1 under one temporary folder and ends with it.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.cli.installation import install_schemas, share_admin_password
from services.simulate.accounts import ADMIN, OFFICE
from services.simulate.client import Client, id_of
from services.simulate.errors import RequestRejected
from services.simulate.load import Load, LoadSummary
from services.simulate.units import UNITS
from shared.appraisal.events import EVENTS, TOPICS
from shared.embedded import Stack
from shared.foundation.clock import SET_VIRTUAL_CLOCK, VIRTUAL_CLOCK_DDL, real_now
from shared.foundation.settings import Settings
from shared.messaging import kafka_access, prepare_kafka
from shared.messaging.logs import lost_partitions
from shared.messaging.store.checkpoints import LogCheckpoint
from shared.messaging.topics import client_options
from shared.storage.schema import SERVICES
from tests.faults.fork_server import ForkServer
from tests.faults.process_group import ROOT, ProcessGroup, get
from tests.notify.listeners import HttpListener

PASSWORD = "lab-Fengping-2026"
SETTLE_POLL_SECONDS = 0.4

# The database's clock as its host would show it after a jump: every reading moves by `by`. The
# functions are given new numbers in the catalogue (the server calls its own by number), so this is
# done before anything is prepared.
JUMPING_CLOCK_DDL = """
create table public.clock_jump (by interval not null);
insert into public.clock_jump values ('0');
grant select on public.clock_jump to public;
alter function pg_catalog.clock_timestamp() rename to real_clock_timestamp;
alter function pg_catalog.statement_timestamp() rename to real_statement_timestamp;
create function pg_catalog.clock_timestamp() returns timestamptz language sql volatile
as $$ select pg_catalog.real_clock_timestamp() + (select by from public.clock_jump) $$;
create function pg_catalog.statement_timestamp() returns timestamptz language sql stable
as $$ select pg_catalog.real_statement_timestamp() + (select by from public.clock_jump) $$;
grant select on public.clock_jump to public;
"""


@dataclass(frozen=True, slots=True)
class InjectedRecord:
    """A record that nobody can read. `type`: the type in its envelope when that can be read, so
    that only its body is wrong.
    """

    topic: str
    type: str | None

    def stops(self, service: str) -> bool:
        """Must this service dead-letter it? Who does not hear a type does not look at its body."""
        return self.topic in topics_consumed_by(service) and (
            self.type is None or self.type in handlers_of(service)
        )


WEDNESDAY = datetime(2026, 11, 18, 2, tzinfo=UTC)
"""When legal time begins: ten in the morning of a workday in China, so that notifications may leave the
house.
"""


@asynccontextmanager
async def listening(mailbox: HttpListener) -> AsyncIterator[None]:
    """The mailbox takes what comes."""
    server = await asyncio.start_server(mailbox.serve, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


class NotSettled(AssertionError):
    """The system did not come to rest in time; the message says what was still going on."""


class FaultRig:
    """One installation. `async with FaultRig(folder).running() as rig: …`"""

    def __init__(self, folder: Path, *, brokers: int = 3) -> None:
        self.folder, self.brokers = folder, brokers
        self.stack = Stack(folder / "servers", brokers=brokers)
        self.loads: list[Load] = []
        self.forged: dict[tuple[bytes | None, bytes | None], InjectedRecord] = {}
        """What the fault rig itself put into the log, by key and value."""
        self.forged_ids: set[UUID] = set()
        """Event ids in the envelopes of those that have one, also when the log with them was lost
        since.
        """
        self.mailbox = HttpListener()
        """Where the supervisors' notifications go outside the house."""
        self._forward = timedelta(0)

    # ── life ──────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultRig"]:
        """Servers, schema, accounts, processes, a published campaign; all gone afterwards."""
        self.folder.chmod(0o755)
        logging.getLogger("aiokafka").setLevel(
            logging.CRITICAL
        )  # what it says of servers that are away is the fault itself
        with closing(ForkServer(ROOT)) as fork_server:
            async with self.stack.running(), listening(self.mailbox):
                await self._install()
                self.processes = ProcessGroup(
                    self.environment, self.folder / "processes", fork_server
                )
                try:
                    await self.processes.start(SERVICES)
                    await self._publish_campaign()
                    yield self
                finally:
                    await self.processes.stop()

    async def _install(self) -> None:
        await self.sql(JUMPING_CLOCK_DDL)
        await self.sql(VIRTUAL_CLOCK_DDL, url=self.stack.postgres_url)
        await self._set_clock(WEDNESDAY)
        await install_schemas(self.settings)
        share_admin_password(self.stack, self.settings)
        await prepare_kafka(self.settings)
        await self._open_accounts()

    async def _open_accounts(self) -> None:
        from services.cli.demo_accounts import seed_accounts
        from services.cli.demo_register import seed_register

        await seed_register(self.settings.database_url, UNITS[:12])
        intake = import_module("services.intake.app").build(self.settings)
        async with intake.database.transaction(intake.context) as tx:
            await seed_accounts(tx, password=PASSWORD)
        await intake.database.close()

    @cached_property
    def settings(self) -> Settings:
        return Settings(
            **{
                name.removeprefix("FENGPING_").lower(): value
                for name, value in self.environment.items()
            }
        )

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a process finds this installation."""
        copies = (
            {"FENGPING_TOPIC_REPLICATION": "3", "FENGPING_TOPIC_MIN_INSYNC": "2"}
            if self.brokers >= 3
            else {}
        )
        return copies | {
            "FENGPING_ENVIRONMENT": "test",
            "FENGPING_SECOND_FACTOR": "waived",
            "FENGPING_SOURCE_CHECKS": "waived",
            "FENGPING_DATABASE_URL": self.stack.postgres_url,
            "FENGPING_REDIS_URL": self.stack.redis_url,
            "FENGPING_KAFKA_SERVERS": ",".join(self.stack.kafka_servers),
            "FENGPING_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "FENGPING_TOPIC_PARTITIONS": "3",
            "FENGPING_BALLOT_RELEASE_MIN": "1",
            "FENGPING_DATA_FOLDER": str(self.folder / "data"),
            "FENGPING_POOL_SIZE": "5",
            "FENGPING_STALL_SECONDS": "15",
            "FENGPING_CONSUMER_SESSION_SECONDS": "6",
        }

    async def _publish_campaign(self) -> None:
        async with Client(self.processes.gateway.url) as client:
            office = await client.sign_in(OFFICE.name, PASSWORD)
            units = [
                {
                    "unit_id": b.unit_id,
                    "name": b.name,
                    "category": b.category,
                }
                for b in UNITS[:12]
            ]
            body = {"scheme": "J", "year": 2026, "units": units}
            answer = await office.write(
                "/scoring/api/campaigns", body, key=id_of("lab", "campaign")
            )
            self.campaign_id = str(answer.body["campaign_id"])
            async with asyncio.timeout(60):
                while not [
                    one for one in await office.campaigns() if one["id"] == self.campaign_id
                ]:
                    await asyncio.sleep(0.2)
            admin = await client.sign_in(ADMIN.name, PASSWORD)
            address = {"role": "supervisor", "address": self.mailbox.url}
            await admin.write(
                f"/notify/api/subscriptions/{id_of('rig', 'mailbox')}",
                address,
                key="mailbox",
                method="PUT",
            )
        await self.settle(60)

    # ── the clock ─────────────────────────────────────────────────────────────────────────────────

    async def advance(self, **by: float) -> None:
        """Move legal time forward: `advance(days=3)`."""
        await self._set_clock(await self.sql("select public.app_now()") + timedelta(**by))

    async def _set_clock(self, instant: datetime) -> None:
        self._forward = instant - real_now()
        connection = await asyncpg.connect(self.stack.postgres.superuser_url)
        try:
            await connection.execute(SET_VIRTUAL_CLOCK, instant, 1.0, False)
        finally:
            await connection.close()

    def now(self) -> datetime:
        """Legal time, as a phone would know it."""
        return real_now() + self._forward

    # ── looking ───────────────────────────────────────────────────────────────────────────────────

    async def sql(self, statement: str, *arguments: Any, url: str | None = None) -> Any:
        """First value of a statement, as the server's superuser unless another `url` is given."""
        connection = await asyncpg.connect(url or self.stack.postgres.superuser_url, timeout=10)
        try:
            if not arguments and ";" in statement.strip().rstrip(";"):
                return await connection.execute(statement)
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close(timeout=5)

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows of a statement, as the superuser."""
        connection = await asyncpg.connect(self.stack.postgres.superuser_url, timeout=10)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close(timeout=5)

    async def records(self, *topics: str) -> list[ConsumerRecord]:
        """A fresh read of the topics (all) from their beginning to their end."""
        names = [self.settings.topic_prefix + topic for topic in topics or TOPICS]
        options = client_options(self.settings, kafka_access.ADMIN) | {
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "group_id": None,
        }
        consumer = AIOKafkaConsumer(*names, **options, max_partition_fetch_bytes=8_388_608)
        found: list[ConsumerRecord] = []
        try:
            async with asyncio.timeout(60):
                await consumer.start()
                ends = await consumer.end_offsets(list(consumer.assignment()))
                while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                    for batch in (await consumer.getmany(timeout_ms=200)).values():
                        found += batch
        finally:
            await consumer.stop()
        return found

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """For records of the rig's own."""
        producer = AIOKafkaProducer(
            **client_options(self.settings, kafka_access.ADMIN),
            acks="all",
            max_request_size=1_000_000,
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def behind(self) -> dict[str, int]:
        """Service → records of its topics that it has not taken, and that a wiped log has not got
        again. Raises KafkaError while away.
        """
        admin = AIOKafkaAdminClient(
            **client_options(self.settings, kafka_access.ADMIN), request_timeout_ms=5_000
        )
        consumer = AIOKafkaConsumer(
            **client_options(self.settings, kafka_access.ADMIN),
            group_id=None,
            request_timeout_ms=5_000,
        )
        checkpoints = await self.rows(
            " union all ".join(
                f"select '{s}' as service, kind, topic, partition, log_offset, event_id from {s}.log_checkpoints"
                for s in SERVICES
            )
        )
        sent = [
            (m["service"], self._place(m), m["log_offset"] + 1)
            for m in checkpoints
            if m["kind"] == "published"
        ]
        try:
            async with asyncio.timeout(15):
                await admin.start()
                await consumer.start()
                every = [
                    TopicPartition(self.settings.topic_prefix + t, p)
                    for t in TOPICS
                    for p in range(self.settings.topic_partitions)
                ]
                ends = await consumer.end_offsets(every)
                taken = [
                    checkpoint for checkpoint in checkpoints if checkpoint["kind"] == "consumed"
                ]
                done = {
                    s: await self._taken_by(
                        s, admin, [checkpoint for checkpoint in taken if checkpoint["service"] == s]
                    )
                    for s in SERVICES
                }
        finally:
            await consumer.stop()
            await admin.close()
        left: dict[str, int] = Counter()
        for service in SERVICES:
            for tp, end in ends.items():
                if tp.topic.removeprefix(self.settings.topic_prefix) in topics_consumed_by(service):
                    left[service] += max(0, end - done[service].get(tp, 0))
        for service, tp, length in sent:
            left[f"log of {service}"] += max(0, length - ends[tp])
        return left

    async def _taken_by(
        self, service: str, admin: AIOKafkaAdminClient, checkpoints: list[asyncpg.Record]
    ) -> dict[TopicPartition, int]:
        """How far a service has come: by the offsets it committed, or by its checkpoints where they are
        further and of this very log.
        """
        committed = await admin.list_consumer_group_offsets(
            f"{self.settings.topic_prefix}fengping-{service}"
        )
        taken = {tp: max(0, at.offset) for tp, at in committed.items()}
        further = {
            self._place(m): LogCheckpoint(m["log_offset"], str(m["event_id"]))
            for m in checkpoints
            if m["log_offset"] >= taken.get(self._place(m), 0)
        }
        of_another_log = await lost_partitions(self.settings, kafka_access.ADMIN, further)
        return taken | {
            tp: offset + 1 for tp, (offset, _) in further.items() if tp not in of_another_log
        }

    def _place(self, checkpoint: asyncpg.Record) -> TopicPartition:
        return TopicPartition(
            self.settings.topic_prefix
            + checkpoint["topic"].removeprefix(self.settings.topic_prefix),
            checkpoint["partition"],
        )

    # ── rest ──────────────────────────────────────────────────────────────────────────────────────

    async def unrest(self) -> dict[str, Any]:
        """What is still going on; empty at rest."""
        found: dict[str, Any] = {}
        for process in self.processes.all:
            if process.wanted and (
                not process.alive or (await get(process.internal_port, "/livez"))[0] != 200
            ):
                found[str(process)] = "not alive"
        try:
            found |= {f"{row['what']}": row["n"] for row in await self.rows(UNREST) if row["n"]}
            found |= {f"{service} behind": n for service, n in (await self.behind()).items() if n}
        except (
            OSError,
            KafkaError,
            TimeoutError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
        ) as error:
            found["servers"] = type(error).__name__
        return found

    async def settle(self, seconds: float) -> float:
        """Wait until nothing moves, seen twice in a row; gives the seconds it took. Raises
        NotSettled.
        """
        started, calm, last = time.monotonic(), 0, {}
        while calm < 2:
            last = await self.unrest() or {}
            calm = 0 if last else calm + 1
            if time.monotonic() - started > seconds:
                raise NotSettled(
                    f"not at rest after {seconds:.0f} s: {last}; {await self._blocked()}"
                )
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        return time.monotonic() - started

    async def _blocked(self) -> str:
        """What the services themselves say is wrong, for the report."""
        readiness = {
            str(p): (await get(p.internal_port, "/readyz"))[1][:300]
            for p in self.processes.all
            if p.wanted
        }
        pending = await self.rows(DEAD_LETTERS)
        return json.dumps(
            {"readyz": readiness, "dead_letters": [dict(row) for row in pending]},
            ensure_ascii=False,
            default=str,
        )[:2000]

    # ── load ──────────────────────────────────────────────────────────────────────────────────────

    def load(
        self,
        *,
        seed: int,
        operations: int,
        rate: float,
        on_progress: Callable[[Counter[str]], None] = lambda _: None,
    ) -> Load:
        """A load through the gateway with a ledger of its own; its answers count in the
        invariants.
        """
        load = Load(
            base_url=self.processes.gateway.url,
            password=PASSWORD,
            ledger=self.folder / f"ledger-{len(self.loads)}-{seed}.jsonl",
            seed=seed,
            operations=operations,
            rate=rate,
            campaign_id=self.campaign_id,
            now=self.now,
            on_progress=on_progress,
        )
        self.loads.append(load)
        return load

    async def run_load(self, load: Load) -> LoadSummary:
        """Send it all; a system that cannot be entered yet is tried again for two minutes."""
        until = time.monotonic() + 120
        while True:
            try:
                return await load.run()
            except RequestRejected as rejected:
                if (rejected.status < 500 and rejected.status != 429) or time.monotonic() > until:
                    raise
                await asyncio.sleep(1)

    def scan_files(self) -> dict[str, bytes]:
        """Every log and every file in which no personal data may stand: name → bytes."""
        found = {path.name: path.read_bytes() for path in self.processes.logs if path.exists()}
        servers = self.folder / "servers"
        for pattern in ("logs/*.log*", "valkey/appendonlydir/*"):
            for path in servers.glob(pattern):
                with suppress(OSError):
                    found[str(path.relative_to(servers))] = path.read_bytes()
        return found


def handlers_of(service: str) -> frozenset[str]:
    """Names of the events that a service hears."""
    names: frozenset[str] = import_module(f"services.{service}.handlers").on.names
    return names


def topics_consumed_by(service: str) -> frozenset[str]:
    """The topics that a service subscribes to."""
    return frozenset({EVENTS[name].topic for name in handlers_of(service)} | {"resends"})


UNREST = (
    " union all ".join(
        f"""
        select '{s} outbox' as what, count(*) as n from {s}.outbox where published_at is null
        union all select '{s} buffered', count(*) from {s}.buffered_events h where not exists
          (select from {s}.dead_letters d where d.state = 'pending' and d.topic = h.topic and d.aggregate = h.key)
        union all select '{s} waits for another topic', count(*) from {s}.dead_letters where state = 'pending' and reason = 'dependency_missing'
        union all select '{s} clock held', count(*) from {s}.clock_holds where released_at is null
        """
        for s in SERVICES
    )
    + """
    union all select 'deadlines due', count(*) from casework.deadlines where state = 'running' and due_at <= public.app_now()
    union all select 'warnings due', count(*) from casework.deadlines where state = 'running' and next_warn_at <= public.app_now()
    union all select 'ballots to release', count(*) from intake.waiting_ballots
    union all select 'units to score', count(*) from scoring.pending_rescores
    union all select 'scores to publish', count(*) from scoring.scores where unpublished
    """
)
DEAD_LETTERS = " union all ".join(
    f"select '{s}' as service, topic, type, reason, detail, state, count(*) as n from {s}.dead_letters where state = 'pending' "
    "group by 2, 3, 4, 5, 6"
    for s in SERVICES
)
