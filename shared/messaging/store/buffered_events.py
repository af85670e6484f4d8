"""Buffered events: events that arrived before their predecessor."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from shared.messaging.envelope import Aggregate, IncomingEvent, headers_as_text, read
from shared.messaging.store.records import StoredRecord, headers_as_json, headers_from_json
from shared.storage.transaction import Transaction

_SELECT = """
select h.topic, h.key, h.version, h.partition, h.log_offset, h.body, h.headers
from buffered_events h join unnest($1::text[], $2::text[]) as w (topic, key) using (topic, key)
order by h.topic, h.key, h.version
"""
_SELECT_ONE = """
select topic, key, version, partition, log_offset, body, headers
from buffered_events where topic = $1 and key = $2 and version = $3
"""
_INSERT = """
insert into buffered_events
  (topic, key, version, event_id, type, headers, body, partition, log_offset)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::jsonb[],
                     $7::bytea[], $8::int[], $9::bigint[])
on conflict do nothing
"""
_GAPS = """
select h.topic, h.key, coalesce(max(s.version), 0) + 1 as from_version,
  max(h.version) - 1 as to_version
from buffered_events h left join aggregate_versions s using (topic, key)
where h.buffered_at not between clock_timestamp() - make_interval(secs => $1) and clock_timestamp()
  and (h.resend_requested_at is null or h.resend_requested_at not between
       clock_timestamp() - interval '60 seconds' and clock_timestamp())
  and not exists (
    select from dead_letters d
    where d.topic = h.topic and d.aggregate = h.key and d.state = 'pending'
      and d.reason <> 'forged')
group by h.topic, h.key order by min(h.buffered_at) limit $2
"""
GAPS_MAX = 200
"""Aggregates whose missing versions are requested at once."""


class VersionGap(msgspec.Struct, frozen=True):
    """Versions of an aggregate that are missing before its buffered events."""

    topic: str
    key: str
    from_version: int
    to_version: int


async def select(
    tx: Transaction, aggregates: Sequence[Aggregate]
) -> dict[Aggregate, dict[int, IncomingEvent]]:
    """Return the buffered events of `aggregates` by version."""
    buffered: dict[Aggregate, dict[int, IncomingEvent]] = {}
    if aggregates:
        topics, keys = zip(*aggregates, strict=True)
        for row in await tx.fetch(_SELECT, topics, keys):
            versions = buffered.setdefault((row["topic"], row["key"]), {})
            versions[row["version"]] = _incoming(row)
    return buffered


async def successor_of(
    tx: Transaction,
    incoming: IncomingEvent,
    *,
    after: int,
) -> IncomingEvent | None:
    """Return the buffered event that follows `incoming` and `after` further events, or None."""
    topic, key = incoming.aggregate
    row = await tx.fetchrow(_SELECT_ONE, topic, key, incoming.meta.version + after + 1)
    return _incoming(row) if row else None


def _incoming(row: asyncpg.Record) -> IncomingEvent:
    record = StoredRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["log_offset"],
        key=row["key"].encode(),
        value=row["body"],
        headers=headers_from_json(row["headers"]),
    )
    return read(record)


async def insert(tx: Transaction, early: Sequence[IncomingEvent]) -> None:
    """Buffer events that arrived before their predecessor."""
    if early:
        rows = [_values(incoming) for incoming in early]
        await tx.run(_INSERT, *map(list, zip(*rows, strict=True)))


def _values(incoming: IncomingEvent) -> tuple[Any, ...]:
    meta = incoming.meta
    return (
        meta.topic,
        meta.key,
        meta.version,
        meta.event_id,
        meta.type,
        headers_as_json(headers_as_text(incoming.record)),
        incoming.body,
        meta.partition,
        meta.offset,
    )


async def delete(tx: Transaction, events: Sequence[IncomingEvent]) -> None:
    """Delete events that were released or dead-lettered."""
    if events:
        event_ids = [incoming.meta.event_id for incoming in events]
        await tx.run("delete from buffered_events where event_id = any($1::uuid[])", event_ids)


async def count(tx: Transaction) -> int:
    """Return the number of buffered events."""
    return int(await tx.fetchval("select count(*) from buffered_events"))


async def gaps(tx: Transaction, *, older_than_seconds: float) -> list[VersionGap]:
    """Return missing versions that were not requested in the last minute, at most GAPS_MAX.

    Aggregates with a pending dead letter are left out: the dead letter is the missing version,
    unless it is forged. A
    gap reaches up to the last buffered version, because several versions in between may be
    missing and a repeated event does no harm. A `buffered_at` in the future was written by a
    clock that had jumped, so it counts as old.
    """
    rows = await tx.fetch(_GAPS, older_than_seconds, GAPS_MAX)
    return [VersionGap(**row) for row in rows]


async def note_resend_request(
    tx: Transaction,
    topic: str,
    key: str,
) -> None:
    """Note that the missing versions of an aggregate were requested now."""
    await tx.run(
        "update buffered_events set resend_requested_at = clock_timestamp() "
        "where topic = $1 and key = $2",
        topic,
        key,
    )
