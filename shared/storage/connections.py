"""Connections to PostgreSQL: the pool of a service, and the checks of a server before its use."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
from sqlalchemy import Connection, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from shared.foundation.failpoints import failpoint
from shared.storage.roles import excess_powers, read_passwords, runtime_role
from shared.storage.transaction import NOW_QUERY, FirstQuery, Transaction


class Database:
    """Connections of one service to its own schema.

    `address` says where the database is and as whom the service connects. `on_events` is called
    after each commit that inserted outbox rows.

    SQLAlchemy pools the connections and maps rows to objects in the same transaction. It runs in
    autocommit mode, so that it neither begins nor ends transactions: `transaction` does, at a
    fraction of the cost.
    """

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        password_file: Path | None = None,
        pool_size: int = 10,
        application: str | None = None,
    ) -> None:
        self.address = Address(url, schema, password_file)
        self.schema = schema
        self.on_events: Callable[[], None] = lambda: None
        self._engine = engine_for(
            self.address,
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
        self,
        context: Any = None,
        first_query: FirstQuery = NOW_QUERY,
        *,
        setup_sql: str = "",
    ) -> AsyncIterator[Transaction]:
        """Open a unit of work: commit on leaving the block, roll back on an exception.

        `setup_sql` runs before `first_query`. It takes a lock, so that `first_query` sees what the
        previous holder wrote, or sets a lock time-out.
        """
        async with self._connection() as (connection, sqlalchemy_connection):
            sql, arguments = first_query
            await connection.execute(f"begin; {setup_sql}")
            first_row = await connection.fetchrow(sql, *arguments)
            tx = Transaction(
                connection,
                sqlalchemy_connection,
                first_row=first_row,
                service=self.schema,
                context=context,
            )
            try:
                yield tx
                has_events = await tx.write()
                failpoint("transaction.before_commit")
            finally:
                await tx.close()
            await connection.execute("commit")
        failpoint("transaction.after_commit")
        if has_events:
            self.on_events()

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncpg.Connection, Callable[[], AsyncConnection]]]:
        """Check out a connection: the driver's, and a factory of SQLAlchemy's view of it.

        It is returned to the pool without an open transaction.
        """
        pooled = await self._engine.raw_connection()
        connection = cast(asyncpg.Connection, pooled.driver_connection)
        try:
            yield connection, partial(self._sqlalchemy_connection, pooled)
        except BaseException:
            with suppress(Exception):
                await connection.execute("rollback")
            raise
        finally:
            if connection.is_closed() or connection.is_in_transaction():
                await greenlet_spawn(pooled.invalidate)
            await greenlet_spawn(pooled.close)

    def _sqlalchemy_connection(self, pooled: PoolProxiedConnection) -> AsyncConnection:
        connection = Connection(self._engine.sync_engine, pooled)
        return AsyncConnection(self._engine, sync_connection=connection)

    async def is_reachable(self, seconds: float = 2.0) -> bool:
        """Return whether the database answers in time."""
        try:
            async with asyncio.timeout(seconds), self._connection() as (connection, _):
                await connection.execute("select 1")
            return True
        except Exception:
            return False

    @property
    def connections(self) -> tuple[int, int]:
        """Return (in use, maximum) of the pool."""
        pool = cast(Any, self._engine.pool)
        return pool.checkedout(), 2 * pool.size()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, the schema, and as whom to connect.

    `url` is `postgresql://host:port/name`. With `password_file`, connections are those of the
    role of the service whose schema it is; without, those of the user in `url`. The file is read
    for every connection, so that a password can be replaced while the service runs.
    """

    url: str = field(repr=False)
    schema: str
    password_file: Path | None = None

    async def connect(
        self, application: str, settings: Mapping[str, str] | None = None
    ) -> asyncpg.Connection:
        """Open a connection with our settings and these."""
        open_connection = partial(
            asyncpg.connect,
            self.url,
            timeout=10,
            command_timeout=60,
            statement_cache_size=512,
            server_settings=connection_settings(self.schema, application) | dict(settings or {}),
        )
        if self.password_file is None:
            return await open_connection()
        role = runtime_role(self.schema)
        return await self._with_password(partial(open_connection, user=role), self.password_file)

    async def _with_password(
        self, open_connection: Callable[..., Awaitable[asyncpg.Connection]], file: Path
    ) -> asyncpg.Connection:
        """Try the passwords in the file, newest first.

        A password that was refused may have become valid since: hence several rounds.
        """
        for _ in range(PASSWORD_ROUNDS):
            for password in read_passwords(file):
                with suppress(asyncpg.InvalidPasswordError):
                    return await open_connection(password=password)
        raise asyncpg.InvalidPasswordError(
            f"the password in {file} is not that of {runtime_role(self.schema)}: "
            "run `fengping migrate`"
        )


PASSWORD_ROUNDS: Final = 3


def engine_for(address: Address, application: str, **options: Any) -> AsyncEngine:
    """Return an SQLAlchemy engine with our connection settings; `options` are SQLAlchemy's."""
    return create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,
        async_creator=partial(address.connect, application),
        **options,
    )


def connection_settings(schema: str, application: str) -> dict[str, str]:
    """Return the server settings of every connection.

    Own schema, UTC, bounded waits; a dead peer is noticed within 35 s.
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
        # No query runs long enough for compilation to pay off.
        "jit": "off",
    }


SESSION_IDLE_SECONDS = 30
"""The server ends a direct connection that is idle for this long, which releases its locks.

Its owner sends a query every second.
"""


async def direct_connection(address: Address, application: str) -> asyncpg.Connection:
    """Open a connection outside of the pool, for session locks and LISTEN.

    The kernel keeps the connection of a frozen process alive: only the server can release its
    locks.
    """
    idle_timeout = {"idle_session_timeout": str(1000 * SESSION_IDLE_SECONDS)}
    return await address.connect(application, idle_timeout)


def advisory_lock_key(*parts: object) -> int:
    """Return the signed 64-bit key of an advisory lock, stable across processes."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class UnsafeDatabase(RuntimeError):
    """The server's settings would lose accepted writes, the role of a service could change what it
    must not, or time is virtual in production.

    The message says what to change.
    """


_UNSAFE_SETTINGS = """
select name from pg_settings
where name in ('fsync', 'full_page_writes', 'data_checksums') and setting <> 'on' order by name
"""


async def check_server(database: Database, *, virtual_time_allowed: bool) -> None:
    """Raise UnsafeDatabase if the server may lose acknowledged commits or has virtual time, or if
    the service's role has more power than it needs.
    """
    async with database.transaction() as tx:
        powers = await excess_powers(tx)
        needed = await _needed_settings(tx)
        virtual = await tx.fetchval("select to_regclass('public.virtual_clock') is not null")
    if powers:
        role = runtime_role(database.schema)
        raise UnsafeDatabase(
            f"the database role of {database.schema} {' and '.join(powers)}: "
            f"connect as {role}, which `fengping migrate` creates"
        )
    if needed:
        settings = ", ".join(needed)
        raise UnsafeDatabase(
            f"PostgreSQL must run with {settings}: change it and restart the server"
        )
    if virtual and not virtual_time_allowed:
        raise UnsafeDatabase(
            "this database has virtual time (public.virtual_clock); "
            "production needs a database that never had it"
        )


async def _needed_settings(tx: Transaction) -> list[str]:
    rows = await tx.fetch(_UNSAFE_SETTINGS)
    return [f"{row['name']}=on" for row in rows]
