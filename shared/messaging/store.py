"""What the consuming side keeps in its service's schema: inbox, versions, buffered events, dead
letters, marks.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from shared.messaging.envelope import IncomingEvent, Record, headers_as_text, read
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import FirstQuery, Transaction

_VERSION_CHECK = """
select array_agg(coalesce(s.version, 0) order by n) as versions,
  array_agg(exists (select from buffered_events h where (h.topic, h.key) = (w.topic, w.key)) order by n) as has_buffered
from unnest({topics}::text[], {keys}::text[]) with ordinality as w (topic, key, n) left join aggregate_versions s using (topic, key)
"""
_INSERT_INBOX = f"""
with inserted as (
  insert into inbox (event_id) select * from unnest($1::uuid[]) on conflict do nothing returning event_id
), version_check as ({_VERSION_CHECK.format(topics="$2", keys="$3")})
select public.app_now() as now, version_check.*,
  (select case when count(*) = cardinality($1::uuid[]) then null else coalesce(array_agg(event_id), '{{}}') end from inserted) as fresh
from version_check
"""
"""`fresh` null: all are new. The version_check was read when the statement began: it counts only if nobody
else had taken any of them.
"""
_VERSIONS = _VERSION_CHECK.format(topics="$1", keys="$2")
_BUFFERED = """
select h.* from buffered_events h join unnest($1::text[], $2::text[]) as w (topic, key) using (topic, key) order by h.topic, h.key, h.version
"""
_BUFFER = """
insert into buffered_events (topic, key, version, event_id, type, headers, body, partition, log_offset)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::jsonb[], $7::bytea[], $8::int[], $9::bigint[])
on conflict do nothing
"""
_ADD_DEAD_LETTER = """
insert into dead_letters (fingerprint, topic, partition, log_offset, key, body, headers, event_id, type, aggregate, version,
                          reason, detail, attempts)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (topic, fingerprint) do update set state = 'pending', reason = excluded.reason, detail = excluded.detail
where dead_letters.state <> 'discarded'
"""

UNLIMITED = 1 << 62
"""However many successors wait."""
DEAD_LETTERS_MAX = 1_000
"""Dead letters listed at once."""
Aggregate = tuple[str, str]


@dataclass(slots=True)
class StoredRecord:
    """A record that waits in one of our tables, in the shape the client library gives."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = field(default_factory=list)


def stored_record(row: asyncpg.Record, *, key: bytes | None) -> StoredRecord:
    """The record of a row of `buffered_events` or `dead_letters`."""
    return StoredRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["log_offset"],
        key=key,
        value=row["body"],
        headers=[(name, value.encode()) for name, value in row["headers"].items()],
    )


@dataclass(slots=True)
class VersionCheck:
    """How far the aggregates of some events were heard, and which of them have events that wait for
    a predecessor.
    """

    versions: dict[Aggregate, int]
    with_buffered: list[Aggregate]


def shared_replay_lock(service: str) -> str:
    """What a transaction of events waits for: they would not see that a replay passes their
    aggregate's predecessor, nor it them.
    """
    return f"select pg_advisory_xact_lock_shared({advisory_lock_key('replay', service)})"


def exclusive_replay_lock(service: str) -> str:
    """What a replay waits for: the end of every transaction of events; new ones wait for it."""
    return f"select pg_advisory_xact_lock({advisory_lock_key('replay', service)})"


def first_query(events: Sequence[IncomingEvent]) -> FirstQuery:
    """The statement that opens the transaction of these events: it notes them in the inbox and
    looks at their version_check.
    """
    return _INSERT_INBOX, (
        [incoming.meta.event_id for incoming in events],
        *_aggregate_columns(events),
    )


async def insert_inbox(tx: Transaction, events: Sequence[IncomingEvent]) -> asyncpg.Record:
    """The same in a transaction that is open already."""
    sql, arguments = first_query(events)
    first_row = await tx.fetchrow(sql, *arguments)
    assert first_row is not None, "the version_check always has a row"
    return first_row


async def select_new(
    tx: Transaction, events: Sequence[IncomingEvent], first_row: asyncpg.Record
) -> tuple[list[IncomingEvent], VersionCheck]:
    """Those never taken before, in order, and their version_check. `first_row`: what the opening told."""
    if first_row["fresh"] is None:
        return list(events), _version_check(events, first_row)
    ids = {str(event_id) for event_id in first_row["fresh"]}
    fresh = [incoming for incoming in events if _discard(ids, str(incoming.meta.event_id))]
    row = await tx.fetchrow(_VERSIONS, *_aggregate_columns(fresh))
    assert row is not None, "an aggregate always has a row"
    return fresh, _version_check(fresh, row)


def _aggregate_columns(events: Sequence[IncomingEvent]) -> tuple[list[str], list[str]]:
    aggregates = _aggregates(events)
    return [topic for topic, _ in aggregates], [key for _, key in aggregates]


def _version_check(events: Sequence[IncomingEvent], row: asyncpg.Record) -> VersionCheck:
    aggregates = _aggregates(events)
    with_buffered = [
        aggregate
        for aggregate, has_buffered in zip(aggregates, row["has_buffered"] or (), strict=True)
        if has_buffered
    ]
    return VersionCheck(dict(zip(aggregates, row["versions"] or (), strict=True)), with_buffered)


def _aggregates(events: Sequence[IncomingEvent]) -> list[Aggregate]:
    return sorted({_aggregate(incoming) for incoming in events if not incoming.once})


def _discard(ids: set[str], event_id: str) -> bool:
    present = event_id in ids
    ids.discard(event_id)
    return present


async def check_versions(
    tx: Transaction,
    fresh: Sequence[IncomingEvent],
    version_check: VersionCheck,
    *,
    successors: int = UNLIMITED,
) -> tuple[list[IncomingEvent], int, dict[Aggregate, int]]:
    """Let events through in the order of their aggregate's versions.

    A version already passed is dropped; one that comes too early is buffered until its predecessor is
    there. Gives what may take effect now, predecessors first, with as many `successors`, buffered ones
    that became ready; how many are buffered; and the versions of the aggregates that got further.
    """
    if not version_check.versions:
        return list(fresh), 0, {}
    pending = await _pending_events(tx, version_check.with_buffered)
    versions, before = dict(version_check.versions), version_check.versions
    ready: list[IncomingEvent] = []
    early: list[IncomingEvent] = []
    released: list[IncomingEvent] = []
    for incoming in fresh:
        if incoming.once:
            ready.append(incoming)
            continue
        key = _aggregate(incoming)
        if incoming.meta.version > versions[key] + 1:
            early.append(incoming)
            pending.setdefault(key, {}).setdefault(incoming.meta.version, incoming)
        elif incoming.meta.version == versions[key] + 1:
            ready.append(incoming)
            versions[key] += 1
        while (
            len(released) < successors
            and (successor := pending.get(key, {}).pop(versions[key] + 1, None)) is not None
        ):
            ready.append(successor)
            released.append(successor)
            versions[key] += 1
    freed = {incoming.meta.event_id for incoming in released}
    buffered = [incoming for incoming in early if incoming.meta.event_id not in freed]
    await _buffer(tx, buffered)
    await _unbuffer(tx, released)
    return (
        ready,
        len(buffered),
        {key: version for key, version in versions.items() if version != before[key]},
    )


def _aggregate(incoming: IncomingEvent) -> Aggregate:
    return incoming.meta.topic, incoming.meta.key


async def _pending_events(
    tx: Transaction, with_buffered: Sequence[Aggregate]
) -> dict[Aggregate, dict[int, IncomingEvent]]:
    pending: dict[Aggregate, dict[int, IncomingEvent]] = {}
    if with_buffered:
        topics, keys = zip(*with_buffered, strict=True)
        for row in await tx.fetch(_BUFFERED, topics, keys):
            pending.setdefault((row["topic"], row["key"]), {})[row["version"]] = read(
                stored_record(row, key=row["key"].encode())
            )
    return pending


async def _buffer(tx: Transaction, early: Sequence[IncomingEvent]) -> None:
    if not early:
        return
    rows = [
        (
            a.meta.topic,
            a.meta.key,
            a.meta.version,
            a.meta.event_id,
            a.meta.type,
            _json(headers_as_text(a.record)),
            a.body,
            a.meta.partition,
            a.meta.offset,
        )
        for a in early
    ]
    await tx.run(_BUFFER, *map(list, zip(*rows, strict=True)))


async def successor_of(
    tx: Transaction, incoming: IncomingEvent, *, after: int
) -> IncomingEvent | None:
    """The buffered event that is next after this one and so many others."""
    topic, key = _aggregate(incoming)
    version = incoming.meta.version + after + 1
    row = await tx.fetchrow(
        "select * from buffered_events where topic = $1 and key = $2 and version = $3",
        topic,
        key,
        version,
    )
    return read(stored_record(row, key=key.encode())) if row else None


async def delete_buffered(tx: Transaction, successor: IncomingEvent) -> None:
    """As if it had never come: it is kept elsewhere, and may come from there."""
    await _unbuffer(tx, [successor])
    await tx.run("delete from inbox where event_id = $1", successor.meta.event_id)


async def _unbuffer(tx: Transaction, released: Sequence[IncomingEvent]) -> None:
    if released:
        await tx.run(
            "delete from buffered_events where event_id = any($1::uuid[])",
            [incoming.meta.event_id for incoming in released],
        )


def record_progress(
    tx: Transaction, events: Sequence[IncomingEvent], versions: Mapping[Aggregate, int]
) -> None:
    """Remember how far the aggregates came, and the last record taken of each partition: it proves
    later that the log is the same one.
    """
    last = {(a.meta.topic, a.meta.partition): a for a in events if a.record.offset >= 0}
    tx.record_progress(
        [(*aggregate, version) for aggregate, version in versions.items()],
        [
            (topic, partition, a.meta.offset, a.meta.event_id)
            for (topic, partition), a in last.items()
        ],
    )


async def consumed_checkpoints(tx: Transaction) -> list[asyncpg.Record]:
    return await tx.fetch(
        "select topic, partition, log_offset, event_id from log_checkpoints where kind = 'consumed'"
    )


async def delete_checkpoint(tx: Transaction, topic: str, partition: int) -> None:
    await tx.run(
        "delete from log_checkpoints where kind = 'consumed' and topic = $1 and partition = $2",
        topic,
        partition,
    )


async def mark_unpublished(
    tx: Transaction, topic: str, key: str, from_version: int, to_version: int
) -> int:
    """Have the relay send these versions again; gives how many."""
    return await tx.run(
        "update outbox set published_at = null where topic = $1 and key = $2 and version between $3 and $4 and published_at is not null",
        topic,
        key,
        from_version,
        to_version,
    )


# ── dead letters ──────────────────────────────────────────────────────────────────────────────────


async def add_dead_letters(
    tx: Transaction, failures: Sequence[tuple[Record, str, str, int]]
) -> None:
    """Keep (record, reason, detail, attempts) with all its bytes. The same bytes of a topic are
    dead-lettered once.
    """
    for record, reason, detail, attempts in failures:
        raw_headers = dict(record.headers)
        await tx.run(
            _ADD_DEAD_LETTER,
            _fingerprint(record),
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            _json(headers_as_text(record)),
            _uuid(raw_headers.get("ce_id")),
            _text(raw_headers.get("ce_type")),
            _text(raw_headers.get("ce_subject")),
            _number(raw_headers.get("ce_sequence")),
            reason,
            detail[:500],
            attempts,
        )


def _fingerprint(record: Record) -> bytes:
    digest = hashlib.sha256()
    headers = sorted(
        f"{name}={value!r}" for name, value in record.headers
    )  # our tables keep them in another order
    for part in (
        record.key or b"",
        record.value or b"\x00none",
        *(each.encode() for each in headers),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(value: bytes | None) -> str | None:
    return (
        value.decode("utf-8", "backslashreplace").replace("\x00", "")[:200]
        if value is not None
        else None
    )


def _uuid(value: bytes | None) -> UUID | None:
    try:
        return UUID((value or b"").decode())
    except ValueError:
        return None


def _number(value: bytes | None) -> int | None:
    text = (value or b"").decode("ascii", "replace")
    return int(text) if text.isdigit() and len(text) < 18 else None


async def pending_dead_letters(tx: Transaction) -> list[asyncpg.Record]:
    """Dead letters not settled, for people to look at: the first DEAD_LETTERS_MAX, the versions of an
    aggregate in order.
    """
    return await tx.fetch(
        "select * from dead_letters where state = 'pending' order by topic, aggregate, version, id limit $1",
        DEAD_LETTERS_MAX,
    )


async def pending_dead_letter_ids(
    tx: Transaction, *, only: Sequence[int] | None = None, reason: str | None = None
) -> list[int]:
    """Ids of all dead letters not settled, the versions of an aggregate in order."""
    rows = await tx.fetch(
        "select id from dead_letters where state = 'pending' and ($1::bigint[] is null or id = any($1)) "
        "and ($2::text is null or reason = $2) order by topic, aggregate, version, id",
        only,
        reason,
    )
    return [row["id"] for row in rows]


async def resolve_dead_letter(
    tx: Transaction, dead_letter_id: int, *, state: str, by: str
) -> asyncpg.Record | None:
    """Mark a dead letter replayed or discarded and give it; None when somebody else did."""
    return await tx.fetchrow(
        "update dead_letters set state = $2, resolved_at = clock_timestamp(), resolved_by = $3 "
        "where id = $1 and state = 'pending' returning *",
        dead_letter_id,
        state,
        by,
    )


async def counts(tx: Transaction) -> tuple[int, int]:
    """(dead letters not settled, events buffered)."""
    row = await tx.fetchrow(
        "select (select count(*) from dead_letters where state = 'pending') as p, (select count(*) from buffered_events) as h"
    )
    assert row
    return row["p"], row["h"]


async def gaps(
    tx: Transaction, *, older_than_seconds: float, limit: int = 200
) -> list[asyncpg.Record]:
    """Aggregates whose next version is missing, not asked for in the last minute, and with no dead
    letter that explains it.

    Up to the last version that waits: between those that came there may be more that did not, and
    what comes again does no harm. An instant in the future was written by a clock that had jumped.
    """
    return await tx.fetch(
        """
        select h.topic, h.key, coalesce(max(s.version), 0) + 1 as from_version, max(h.version) - 1 as to_version
        from buffered_events h left join aggregate_versions s using (topic, key)
        where h.buffered_at not between clock_timestamp() - make_interval(secs => $1) and clock_timestamp()
          and (h.resend_requested_at is null or h.resend_requested_at not between clock_timestamp() - interval '60 seconds' and clock_timestamp())
          and not exists (select from dead_letters d where d.topic = h.topic and d.aggregate = h.key and d.state = 'pending')
        group by h.topic, h.key order by min(h.buffered_at) limit $2
        """,
        older_than_seconds,
        limit,
    )


async def note_resend_request(tx: Transaction, topic: str, key: str) -> None:
    await tx.run(
        "update buffered_events set resend_requested_at = clock_timestamp() where topic = $1 and key = $2",
        topic,
        key,
    )
