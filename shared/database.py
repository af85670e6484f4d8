"""One unit of work: rows, events and audit leaves are written together, or none of them is.

Context: an accepted complaint, ballot or visit must have its whole effect exactly once, whatever
dies. A row without its event, or an event without its row, breaks that promise, and so does an
outbox row whose number was drawn before its aggregate was locked.
Decision: a door opens a `Transaction`, actions use it, nobody commits. On leaving the block the
events are written by one statement that first locks and versions every aggregate (in key order, so
that two transactions cannot deadlock) and then draws the numbers.
Consequences: events of one aggregate leave in the order of its versions; a hearer can tell a
repeat, a gap and a late one apart.
Alternatives: sequence cursors and SKIP LOCKED relays were measured to lose or to invert events;
Kafka transactions are not needed.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Connection, Executable, MetaData, Row, Select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import registry
from sqlalchemy.util import greenlet_spawn
from uuid_utils.compat import uuid7

from shared.audit import AUDIT_DDL
from shared.events import Event, encode
from shared.failpoints import failpoint
from shared.telemetry import trace_parent

SERVICES = ("intake", "casework", "scoring", "notify")
OUTBOX_SHARDS = 8
"""Fixed: the shard of an aggregate is part of its outbox rows."""

CORE_DDL = (
    f"""
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null, topic text not null, key text not null, version bigint not null check (version > 0),
  type text not null, body bytea not null, trace text,
  shard smallint not null check (shard between 0 and {OUTBOX_SHARDS - 1}),
  occurred_at timestamptz not null, created_at timestamptz not null default clock_timestamp(),
  published_at timestamptz, partition integer, log_offset bigint,
  unique (topic, key, version)
);
create index outbox_pending on outbox (id) where published_at is null;
create table aggregates (topic text, key text, version bigint not null, primary key (topic, key));

create table inbox (event_id uuid primary key, at timestamptz not null default clock_timestamp());
create table streams (topic text, key text, version bigint not null, primary key (topic, key));
create table held (
  topic text, key text, version bigint, event_id uuid not null, type text not null, headers jsonb not null, body bytea not null,
  partition integer not null, log_offset bigint not null,
  held_at timestamptz not null default clock_timestamp(), asked_at timestamptz, primary key (topic, key, version)
);
create table dead_letters (
  id bigint generated always as identity primary key,
  fingerprint bytea not null, topic text not null, partition integer not null, log_offset bigint not null,
  key bytea, body bytea, headers jsonb not null,
  event_id uuid, type text, aggregate text, version bigint,
  reason text not null, detail text not null, attempts integer not null,
  state text not null default 'parked' check (state in ('parked', 'replayed', 'discarded')),
  parked_at timestamptz not null default clock_timestamp(), settled_at timestamptz, settled_by text,
  unique (topic, fingerprint)
);
create index dead_letters_parked on dead_letters (topic, aggregate) where state = 'parked';
create table marks (
  kind text check (kind in ('published', 'consumed')), topic text, partition integer,
  log_offset bigint not null, event_id uuid, at timestamptz not null default clock_timestamp(),
  primary key (kind, topic, partition)
);
create table clock_holds (
  id bigint generated always as identity primary key, drift_seconds double precision not null,
  held_at timestamptz not null default clock_timestamp(), released_at timestamptz, released_by text
);
create table idempotency (
  key text primary key, fingerprint text not null, status integer not null, response jsonb,
  created_at timestamptz not null default clock_timestamp()
);
"""
    + AUDIT_DDL
)
"""What every schema has besides its own tables; the first migration of each service runs it."""

CORE_TABLES = frozenset(
    (
        "outbox",
        "aggregates",
        "inbox",
        "streams",
        "held",
        "dead_letters",
        "marks",
        "idempotency",
        "clock_holds",
        "audit",
        "checkpoints",
    )
)

# The order matters: `locked` touches every aggregate before the outbox draws a single number (the
# window functions sort, so they wait for it). A transaction that draws first and locks later was
# measured to invert events of one aggregate.
_WRITE = f"""
with leaf as (
  insert into audit (at, actor, action, subject, facts)
  select $9, * from unnest($10::text[], $11::text[], $12::text[], $13::jsonb[])
), e as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::boolean[], $8::text[])
    with ordinality as t (event_id, topic, key, type, body, occurred_at, once, trace, n)
), locked as (
  insert into aggregates as a (topic, key, version)
  select topic, key, count(*) from e where not once group by topic, key order by topic, key
  on conflict (topic, key) do update set version = a.version + excluded.version
  returning topic, key, version
), numbered as (
  select e.*, l.version - count(*) over (partition by e.topic, e.key)
              + row_number() over (partition by e.topic, e.key order by n) as version
  from e left join locked l using (topic, key)
)
insert into outbox (event_id, topic, key, version, type, body, occurred_at, shard, trace)
select event_id, topic, key, coalesce(version, 1), type, body, occurred_at, abs(hashtext(key)::bigint) % {OUTBOX_SHARDS}, trace
from numbered order by n
"""
# A consumer's transaction ends with one statement more in the same round trip: how far it has come
# in streams and logs.
_WRITE_CONSUMED = _WRITE.replace(
    "with leaf as (",
    """
with advanced as (
  insert into streams (topic, key, version) select * from unnest($14::text[], $15::text[], $16::bigint[])
  on conflict (topic, key) do update set version = excluded.version
), marked as (
  insert into marks (kind, topic, partition, log_offset, event_id)
  select 'consumed', * from unnest($17::text[], $18::int[], $19::bigint[], $20::uuid[])
  on conflict (kind, topic, partition) do update set log_offset = excluded.log_offset, event_id = excluded.event_id, at = clock_timestamp()
), leaf as (""",
    1,
)

Opening = tuple[str, Sequence[Any]]
"""The first statement of a transaction and its arguments: it gives one row, with `now` and whatever
else its opener wants to know.
"""
ONLY_NOW: Opening = ("select public.app_now() as now", ())

RowT = TypeVar("RowT")

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def registry_for(schema: str) -> registry:
    """Registry of one service's tables: `class Base(SQLModel, registry=registry_for("casework"))`
    heads its tables.py.
    """
    return registry(metadata=MetaData(schema=schema, naming_convention=NAMING))


def new_id() -> UUID:
    """A fresh id that sorts by time (UUID version 7)."""
    return uuid7()


class Transaction:
    """One unit of work: a connection, the instant it began, the events it will publish.

    Doors open it, actions use it, nobody commits: leaving the block writes rows, outbox and audit
    leaves together; an exception writes none of them.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        mapped: Callable[[], AsyncConnection],
        *,
        opened: asyncpg.Record,
        service: str,
        context: Any,
    ):
        self._connection, self._mapped = connection, mapped
        self._session_opened: AsyncSession | None = None
        self.now: datetime = opened["now"]
        self.opened, self.service, self.context = opened, service, context
        """`opened`: what the opening statement told."""
        self._events: list[Event] = []
        self._traces: list[str | None] = []
        self._leaves: list[tuple[str, str, str, dict[str, Any]]] = []
        self._advanced: list[tuple[str, str, int]] = []
        self._consumed: list[tuple[str, int, int, UUID]] = []

    @property
    def _session(self) -> AsyncSession:
        """The session of those who work with rows as objects; set-based work never pays for it."""
        if self._session_opened is None:
            self._session_opened = AsyncSession(
                self._mapped(), expire_on_commit=False, autoflush=True
            )
        return self._session_opened

    def add(self, row: object) -> None:
        self._session.add(row)

    async def delete(self, row: object) -> None:
        await self._session.delete(row)

    async def flush(self) -> None:
        """Write rows that were added or changed."""
        if self._session_opened is not None:
            await self._session_opened.flush()

    async def scalar(self, statement: Select[RowT]) -> RowT | None:
        """First column of the first row, or None."""
        return cast("RowT | None", await self._session.scalar(statement))

    async def scalars(self, statement: Select[RowT]) -> list[RowT]:
        return list(await self._session.scalars(statement))

    async def rows(self, statement: Executable) -> list[Row[Any]]:
        return list((await self._session.execute(statement)).all())

    async def execute(self, statement: Executable) -> int:
        """Run a statement; gives the number of rows it touched."""
        result = await self._session.execute(statement)
        return cast(int, getattr(result, "rowcount", -1))

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Set-based SQL ($1 …) in this transaction; rows added before are flushed first."""
        await self.flush()
        return cast("list[asyncpg.Record]", await self._connection.fetch(sql, *arguments))

    async def fetchrow(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        await self.flush()
        return await self._connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        await self.flush()
        return await self._connection.fetchval(sql, *arguments)

    async def run(self, sql: str, *arguments: Any) -> int:
        """Run set-based SQL; gives the number of rows it touched."""
        await self.flush()
        status = await self._connection.execute(sql, *arguments)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def copy(
        self, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> None:
        """COPY many rows into a table of this schema: the fastest way in for a large batch."""
        await self.flush()
        await self._connection.copy_records_to_table(table, records=records, columns=list(columns))

    def emit(self, event: Event, *, trace: str | None = None) -> None:
        """Say a fact. It leaves if, and only if, this transaction commits. `trace`: of the request
        it belongs to, if not of this one.
        """
        self._events.append(event)
        self._traces.append(trace or trace_parent.get())

    def record(self, action: str, subject: object, by: str, **facts: Any) -> None:
        """Leave an audit leaf. `by` is an account or service id; facts are ids, codes and hashes,
        never personal data.
        """
        self._leaves.append((by, action, str(subject), facts))

    def consumed(
        self, streams: Sequence[tuple[str, str, int]], last: Sequence[tuple[str, int, int, UUID]]
    ) -> None:
        """How far events were heard: (topic, key, version) of aggregates, (topic, partition,
        offset, event id) of logs, each once.
        """
        self._advanced, self._consumed = sorted(streams), sorted(last)

    async def close(self) -> None:
        """Let go of the objects of this unit of work."""
        if self._session_opened is not None:
            await self._session_opened.close()

    async def write(self) -> bool:
        """Write what was said and done (the database calls this before it commits); True when there
        are events to send.
        """
        await self.flush()
        said, left = self._events, self._leaves
        arguments = (
            [new_id() for _ in said],
            [e.topic for e in said],
            [e.key for e in said],
            [e.name for e in said],
            [encode(e) for e in said],
            [e.occurred_at for e in said],
            [e.once for e in said],
            self._traces,
            self.now,
            [actor for actor, *_ in left],
            [action for _, action, *_ in left],
            [subject for *_, subject, _ in left],
            [msgspec.json.encode(facts).decode() for *_, facts in left],
        )
        if self._advanced or self._consumed:
            await self._connection.execute(
                _WRITE_CONSUMED,
                *arguments,
                *_columns(self._advanced, 3),
                *_columns(self._consumed, 4),
            )
        elif said or left:
            await self._connection.execute(_WRITE, *arguments)
        return bool(said)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


class Database:
    """Connections of one service to its own schema.

    `url`: `postgresql://user:password@host:port/name`. `on_events` is called after each commit that
    left events in the outbox.

    SQLAlchemy keeps the connections and maps rows to objects, on the same connection, in the same
    transaction. It is told that every statement commits by itself, so that it neither begins nor
    ends anything: `transaction` does, at a fraction of the cost.
    """

    def __init__(
        self, url: str, schema: str, *, pool_size: int = 10, application: str | None = None
    ) -> None:
        self.url, self.schema = url, schema
        self.on_events: Callable[[], None] = lambda: None
        self._engine = engine_for(
            url,
            schema,
            application or f"fengping-{schema}",
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_pre_ping=False,
            pool_recycle=1800,
        )

    @asynccontextmanager
    async def transaction(
        self, context: Any = None, opening: Opening = ONLY_NOW, *, first: str = ""
    ) -> AsyncIterator[Transaction]:
        """Open a unit of work; commits on leaving the block, rolls back when an exception leaves
        it.

        `first`: a statement before the opening, one that takes a lock (the opening then sees what
        its holder before did) or says how long locks are waited for.
        """
        async with self._connection() as (connection, mapped):
            await connection.execute(f"begin; {first}")
            opened = await connection.fetchrow(opening[0], *opening[1])
            tx = Transaction(
                connection, mapped, opened=opened, service=self.schema, context=context
            )
            try:
                yield tx
                sends = await tx.write()
                failpoint("transaction.before_commit")
            finally:
                await tx.close()
            await connection.execute("commit")
        failpoint("transaction.after_commit")
        if sends:
            self.on_events()

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncpg.Connection, Callable[[], AsyncConnection]]]:
        """A connection of the pool: the driver's and, for those who ask, SQLAlchemy's view of it.
        It goes back without a transaction.
        """
        lent = await self._engine.raw_connection()
        connection = cast(asyncpg.Connection, lent.driver_connection)
        try:
            yield (
                connection,
                lambda: AsyncConnection(
                    self._engine, sync_connection=Connection(self._engine.sync_engine, lent)
                ),
            )
        except BaseException:
            with suppress(Exception):
                await connection.execute("rollback")
            raise
        finally:
            if connection.is_closed() or connection.is_in_transaction():
                await greenlet_spawn(lent.invalidate)
            await greenlet_spawn(lent.close)

    async def alive(self, seconds: float = 2.0) -> bool:
        """Does the database answer in time?"""
        try:
            async with asyncio.timeout(seconds), self._connection() as (connection, _):
                await connection.execute("select 1")
            return True
        except Exception:
            return False

    @property
    def connections(self) -> tuple[int, int]:
        """(in use, size) of the pool."""
        pool = cast(Any, self._engine.pool)
        return pool.checkedout(), 2 * pool.size()

    async def close(self) -> None:
        await self._engine.dispose()


def engine_for(url: str, schema: str, application: str, **options: Any) -> AsyncEngine:
    """SQLAlchemy's engine on this driver, with our settings of a connection; `options` say how it
    pools and commits.
    """
    return create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        hide_parameters=True,
        connect_args={
            "timeout": 10,
            "command_timeout": 60,
            "statement_cache_size": 512,
            "server_settings": connection_settings(schema, application),
        },
        **options,
    )


def connection_settings(schema: str, application: str) -> dict[str, str]:
    """Server settings of every connection: own schema, UTC, bounded waits, dead peers noticed
    within 35 s.
    """
    return {
        "search_path": f"{schema},public",
        "timezone": "UTC",
        "application_name": application,
        "statement_timeout": "60000",
        "lock_timeout": "30000",
        "idle_in_transaction_session_timeout": "60000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "30000",
        "synchronous_commit": "on",
        # No question here is so long that compiling it pays; a list of twelve thousand cases would
        # be compiled each time it is opened.
        "jit": "off",
    }


SILENCE_SECONDS = 30
"""A direct connection that says nothing for so long is ended by the server, and its locks are free.
Its owner speaks every second.
"""


CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Somebody else held what was wanted: the one who waited for it fails, and nobody beside them need
to.
"""
MOMENTARY = (
    *CONTENDED,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InternalClientError,
    PoolTimeout,
    OSError,
    TimeoutError,
)


def is_away(error: BaseException) -> bool:
    """Is the database unreachable or momentarily unable, so that what was asked of it is not to
    blame?
    """
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
        return (
            isinstance(error, OperationalError | InterfaceError)
            or error.connection_invalidated
            or is_away(cause)
        )
    return isinstance(error, MOMENTARY)


async def direct_connection(url: str, schema: str, application: str) -> asyncpg.Connection:
    """A connection of its own, outside the pool: for session locks and LISTEN.

    A process that is frozen, not dead, keeps its connection alive without knowing it: only the
    server can take its locks from it.
    """
    settings = connection_settings(schema, application) | {
        "idle_session_timeout": str(1000 * SILENCE_SECONDS)
    }
    return await asyncpg.connect(url, timeout=10, command_timeout=60, server_settings=settings)


def lock_number(*words: object) -> int:
    """Signed 64-bit number of an advisory lock, stable across processes."""
    digest = hashlib.sha256(":".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class UnsafeDatabase(RuntimeError):
    """The server's settings would lose accepted writes, or time is virtual in production. The
    sentence says what to change.
    """


async def check_server(database: Database, *, virtual_time_allowed: bool) -> None:
    """Refuse to start on a server that may lose acknowledged commits or that lies about time.

    Raises UnsafeDatabase with the setting and its cure.
    """
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'data_checksums')"
        )
        wrong = sorted(row["name"] for row in rows if row["setting"] != "on")
        virtual = await tx.fetchval("select to_regclass('public.virtual_clock') is not null")
    if wrong:
        raise UnsafeDatabase(
            f"PostgreSQL must run with {', '.join(f'{name}=on' for name in wrong)}: change it and restart the server"
        )
    if virtual and not virtual_time_allowed:
        raise UnsafeDatabase(
            "this database has virtual time (public.virtual_clock); production needs a database that never had it"
        )
