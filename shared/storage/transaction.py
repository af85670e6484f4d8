"""One unit of work: rows, events and audit entries are written together, or none of them is.

Context: an accepted complaint, ballot or visit must have its whole effect exactly once, whatever
fails. A row without its event, or an event without its row, breaks that promise, and so does an
outbox row whose id was drawn before its aggregate was locked.
Decision: a route, handler or job opens a `Transaction`, actions use it, and nobody commits. On
leaving the block, one statement (`outbox_sql`) first locks and versions every aggregate, in key
order so that two transactions cannot deadlock, and then draws the ids.
Consequences: events of one aggregate are published in the order of its versions; a consumer can
tell a repetition, a gap and a late event apart.
Alternatives: sequence cursors and SKIP LOCKED relays were measured to lose or to invert events;
Kafka transactions are not needed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Executable, Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from uuid_utils.compat import uuid7

from shared.appraisal.events import Event, encode
from shared.foundation.tracing import current_traceparent
from shared.storage.outbox_sql import INSERT_EVENTS, INSERT_EVENTS_AND_PROGRESS

FirstQuery = tuple[str, Sequence[Any]]
"""The first statement of a transaction and its arguments; returns one row with at least `now`."""
NOW_QUERY: FirstQuery = ("select public.app_now() as now", ())

RowT = TypeVar("RowT")


def new_id() -> UUID:
    """Return a new id that sorts by time (UUID version 7)."""
    return uuid7()


class Transaction:
    """One unit of work: a connection, the instant it began, the events it will publish.

    Leaving the block that opened it writes rows, events and audit entries together; an exception
    writes none of them.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        sqlalchemy_connection: Callable[[], AsyncConnection],
        *,
        first_row: asyncpg.Record,
        service: str,
        context: Any,
    ):
        self.now: datetime = first_row["now"]
        self.first_row = first_row
        """Row of the first statement."""
        self.service = service
        self.context = context
        self._connection = connection
        self._sqlalchemy_connection = sqlalchemy_connection
        self._lazy_session: AsyncSession | None = None
        self._events: list[Event] = []
        self._traces: list[str | None] = []
        self._audit_entries: list[tuple[str, str, str, dict[str, Any]]] = []
        self._versions: list[tuple[str, str, int]] = []
        self._checkpoints: list[tuple[str, int, int, UUID]] = []

    @property
    def _session(self) -> AsyncSession:
        """The SQLAlchemy session, created on first use: set-based work does not pay for it."""
        if self._lazy_session is None:
            self._lazy_session = AsyncSession(
                self._sqlalchemy_connection(), expire_on_commit=False, autoflush=True
            )
        return self._lazy_session

    def add(self, row: object) -> None:
        """Insert a row, at the latest before the commit."""
        self._session.add(row)

    async def delete(self, row: object) -> None:
        """Delete a row that was loaded in this transaction."""
        await self._session.delete(row)

    async def flush(self) -> None:
        """Write added and changed rows."""
        if self._lazy_session is not None:
            await self._lazy_session.flush()

    async def scalar(self, statement: Select[RowT]) -> RowT | None:
        """Return the first column of the first row, or None."""
        return cast("RowT | None", await self._session.scalar(statement))

    async def scalars(self, statement: Select[RowT]) -> list[RowT]:
        """Return the first column of every row."""
        return list(await self._session.scalars(statement))

    async def rows(self, statement: Executable) -> list[Row[Any]]:
        """Return every row of a statement of several columns."""
        return list((await self._session.execute(statement)).all())

    async def execute(self, statement: Executable) -> int:
        """Run a statement and return the number of affected rows."""
        result = await self._session.execute(statement)
        return cast(int, getattr(result, "rowcount", -1))

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run set-based SQL ($1 …) and return its rows. Rows added before are flushed first."""
        await self.flush()
        return cast("list[asyncpg.Record]", await self._connection.fetch(sql, *arguments))

    async def fetchrow(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        """Run set-based SQL and return its first row, or None."""
        await self.flush()
        return await self._connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run set-based SQL and return the first column of its first row; None without a row."""
        await self.flush()
        return await self._connection.fetchval(sql, *arguments)

    async def run(self, sql: str, *arguments: Any) -> int:
        """Run set-based SQL and return the number of affected rows."""
        await self.flush()
        status = await self._connection.execute(sql, *arguments)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Sequence[Sequence[Any]],
    ) -> None:
        """COPY rows into a table of this schema: the fastest way to insert a large batch."""
        await self.flush()
        await self._connection.copy_records_to_table(table, records=records, columns=list(columns))

    def publish(self, event: Event, *, trace: str | None = None) -> None:
        """Publish an event if, and only if, this transaction commits.

        `trace` is the `traceparent` of the event; by default that of the current span. An event
        that is not `traced` has none.
        """
        self._events.append(event)
        self._traces.append((trace or current_traceparent()) if event.traced else None)

    def audit(
        self,
        action: str,
        subject: object,
        by: str,
        **facts: Any,
    ) -> None:
        """Write an audit entry. `by` is an account or service id.

        `facts` are ids, codes and hashes, never personal data.
        """
        self._audit_entries.append((by, action, str(subject), facts))

    def record_progress(
        self,
        versions: Sequence[tuple[str, str, int]],
        checkpoints: Sequence[tuple[str, int, int, UUID]],
    ) -> None:
        """Store consumed versions (topic, key, version) and checkpoints (topic, partition, offset,
        event id), each key once.
        """
        self._versions = sorted(versions)
        self._checkpoints = sorted(checkpoints)

    async def close(self) -> None:
        """Release the session."""
        if self._lazy_session is not None:
            await self._lazy_session.close()

    async def write(self) -> bool:
        """Write events, audit entries and progress; return whether there are events.

        Called by `Database.transaction` before it commits.
        """
        await self.flush()
        if self._versions or self._checkpoints:
            await self._connection.execute(
                INSERT_EVENTS_AND_PROGRESS,
                *self._event_columns(),
                *self._audit_columns(),
                *_columns(self._versions, 3),
                *_columns(self._checkpoints, 4),
            )
        elif self._events or self._audit_entries:
            await self._connection.execute(
                INSERT_EVENTS, *self._event_columns(), *self._audit_columns()
            )
        return bool(self._events)

    def _event_columns(self) -> tuple[list[Any], ...]:
        events = self._events
        return (
            [new_id() for _ in events],
            [e.topic for e in events],
            [e.key for e in events],
            [e.name for e in events],
            [encode(e) for e in events],
            [e.occurred_at for e in events],
            [e.single_event for e in events],
            self._traces,
        )

    def _audit_columns(self) -> tuple[Any, ...]:
        audit_entries = self._audit_entries
        return (
            self.now,
            [actor for actor, *_ in audit_entries],
            [action for _, action, *_ in audit_entries],
            [subject for *_, subject, _ in audit_entries],
            [msgspec.json.encode(facts).decode() for *_, facts in audit_entries],
        )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


TransactionFactory = Callable[[], AbstractAsyncContextManager[Transaction]]
"""Opens transactions: `async with transactions() as tx`."""
