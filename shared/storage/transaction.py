"""One unit of work: rows, events and audit entries are written together, or none of them is.

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

from collections.abc import Callable, Sequence
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
from shared.storage.schema import OUTBOX_SHARDS

# The order matters: `locked` touches every aggregate before the outbox draws a single number (the
# window functions sort, so they wait for it). A transaction that draws first and locks later was
# measured to invert events of one aggregate.
_WRITE_OUTBOX = f"""
with audit_entry as (
  insert into audit (at, actor, action, subject, details)
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
_WRITE_OUTBOX_AND_PROGRESS = _WRITE_OUTBOX.replace(
    "with audit_entry as (",
    """
with advanced_versions as (
  insert into aggregate_versions (topic, key, version) select * from unnest($14::text[], $15::text[], $16::bigint[])
  on conflict (topic, key) do update set version = excluded.version
), advanced_checkpoints as (
  insert into log_checkpoints (kind, topic, partition, log_offset, event_id)
  select 'consumed', * from unnest($17::text[], $18::int[], $19::bigint[], $20::uuid[])
  on conflict (kind, topic, partition) do update set log_offset = excluded.log_offset, event_id = excluded.event_id, at = clock_timestamp()
), audit_entry as (""",
    1,
)

FirstQuery = tuple[str, Sequence[Any]]
"""The first statement of a transaction and its arguments: it gives one row, with `now` and whatever
else its opener wants to know.
"""
NOW_QUERY: FirstQuery = ("select public.app_now() as now", ())

RowT = TypeVar("RowT")


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
        sqlalchemy_connection: Callable[[], AsyncConnection],
        *,
        first_row: asyncpg.Record,
        service: str,
        context: Any,
    ):
        self._connection, self._sqlalchemy_connection = connection, sqlalchemy_connection
        self._lazy_session: AsyncSession | None = None
        self.now: datetime = first_row["now"]
        self.first_row, self.service, self.context = first_row, service, context
        """`first_row`: what the opening statement told."""
        self._events: list[Event] = []
        self._traces: list[str | None] = []
        self._audit_entries: list[tuple[str, str, str, dict[str, Any]]] = []
        self._versions: list[tuple[str, str, int]] = []
        self._checkpoints: list[tuple[str, int, int, UUID]] = []

    @property
    def _session(self) -> AsyncSession:
        """The session of those who work with rows as objects; set-based work never pays for it."""
        if self._lazy_session is None:
            self._lazy_session = AsyncSession(
                self._sqlalchemy_connection(), expire_on_commit=False, autoflush=True
            )
        return self._lazy_session

    def add(self, row: object) -> None:
        self._session.add(row)

    async def delete(self, row: object) -> None:
        await self._session.delete(row)

    async def flush(self) -> None:
        """Write rows that were added or changed."""
        if self._lazy_session is not None:
            await self._lazy_session.flush()

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

    def publish(self, event: Event, *, trace: str | None = None) -> None:
        """Say a fact. It leaves if, and only if, this transaction commits. `trace`: of the request
        it belongs to, if not of this one.
        """
        self._events.append(event)
        self._traces.append(trace or current_traceparent())

    def audit(self, action: str, subject: object, by: str, **facts: Any) -> None:
        """Leave an audit entry. `by` is an account or service id; facts are ids, codes and hashes,
        never personal data.
        """
        self._audit_entries.append((by, action, str(subject), facts))

    def record_progress(
        self,
        versions: Sequence[tuple[str, str, int]],
        checkpoints: Sequence[tuple[str, int, int, UUID]],
    ) -> None:
        """How far events were heard: (topic, key, version) of aggregates, (topic, partition,
        offset, event id) of logs, each once.
        """
        self._versions, self._checkpoints = sorted(versions), sorted(checkpoints)

    async def close(self) -> None:
        """Let go of the objects of this unit of work."""
        if self._lazy_session is not None:
            await self._lazy_session.close()

    async def write(self) -> bool:
        """Write what was said and done (the database calls this before it commits); True when there
        are events to send.
        """
        await self.flush()
        events, audit_entries = self._events, self._audit_entries
        arguments = (
            [new_id() for _ in events],
            [e.topic for e in events],
            [e.key for e in events],
            [e.name for e in events],
            [encode(e) for e in events],
            [e.occurred_at for e in events],
            [e.single_event for e in events],
            self._traces,
            self.now,
            [actor for actor, *_ in audit_entries],
            [action for _, action, *_ in audit_entries],
            [subject for *_, subject, _ in audit_entries],
            [msgspec.json.encode(facts).decode() for *_, facts in audit_entries],
        )
        if self._versions or self._checkpoints:
            await self._connection.execute(
                _WRITE_OUTBOX_AND_PROGRESS,
                *arguments,
                *_columns(self._versions, 3),
                *_columns(self._checkpoints, 4),
            )
        elif events or audit_entries:
            await self._connection.execute(_WRITE_OUTBOX, *arguments)
        return bool(events)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]
