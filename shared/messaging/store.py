"""What the consuming side keeps in its service's schema: inbox, versions, held events, dead
letters, marks.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from shared.messaging.envelope import Arrival, Record, headers_as_text, read
from shared.storage.connections import lock_number
from shared.storage.transaction import Opening, Transaction

_GATE = """
select array_agg(coalesce(s.version, 0) order by n) as versions,
  array_agg(exists (select from held h where (h.topic, h.key) = (w.topic, w.key)) order by n) as holds
from unnest({topics}::text[], {keys}::text[]) with ordinality as w (topic, key, n) left join streams s using (topic, key)
"""
_TAKE_IN = f"""
with taken as (
  insert into inbox (event_id) select * from unnest($1::uuid[]) on conflict do nothing returning event_id
), gate as ({_GATE.format(topics="$2", keys="$3")})
select public.app_now() as now, gate.*,
  (select case when count(*) = cardinality($1::uuid[]) then null else coalesce(array_agg(event_id), '{{}}') end from taken) as fresh
from gate
"""
"""`fresh` null: all are new. The gate was read when the statement began: it counts only if nobody
else had taken any of them.
"""
_GATE_ALONE = _GATE.format(topics="$1", keys="$2")
_HELD = """
select h.* from held h join unnest($1::text[], $2::text[]) as w (topic, key) using (topic, key) order by h.topic, h.key, h.version
"""
_HOLD = """
insert into held (topic, key, version, event_id, type, headers, body, partition, log_offset)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::jsonb[], $7::bytea[], $8::int[], $9::bigint[])
on conflict do nothing
"""
_PARK = """
insert into dead_letters (fingerprint, topic, partition, log_offset, key, body, headers, event_id, type, aggregate, version,
                          reason, detail, attempts)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (topic, fingerprint) do update set state = 'parked', reason = excluded.reason, detail = excluded.detail
where dead_letters.state <> 'discarded'
"""

ANY = 1 << 62
"""However many followers wait."""
LETTERS_MAX = 1_000
"""Dead letters listed at once."""
Aggregate = tuple[str, str]


@dataclass(slots=True)
class KeptRecord:
    """A record that waits in one of our tables, in the shape the client library gives."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = field(default_factory=list)


def kept(row: asyncpg.Record, *, key: bytes | None) -> KeptRecord:
    """The record of a row of `held` or `dead_letters`."""
    return KeptRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["log_offset"],
        key=key,
        value=row["body"],
        headers=[(name, value.encode()) for name, value in row["headers"].items()],
    )


@dataclass(slots=True)
class Gate:
    """How far the aggregates of some events were heard, and which of them have events that wait for
    a predecessor.
    """

    versions: dict[Aggregate, int]
    holding: list[Aggregate]


def beside_replays(service: str) -> str:
    """What a transaction of arrivals waits for: they would not see that a replay passes their
    aggregate's predecessor, nor it them.
    """
    return f"select pg_advisory_xact_lock_shared({lock_number('replay', service)})"


def alone(service: str) -> str:
    """What a replay waits for: the end of every transaction of arrivals; new ones wait for it."""
    return f"select pg_advisory_xact_lock({lock_number('replay', service)})"


def opening(arrivals: Sequence[Arrival]) -> Opening:
    """The statement that opens the transaction of these events: it notes them in the inbox and
    looks at their gate.
    """
    return _TAKE_IN, ([arrival.meta.event_id for arrival in arrivals], *_wanted(arrivals))


async def take_in(tx: Transaction, arrivals: Sequence[Arrival]) -> asyncpg.Record:
    """The same in a transaction that is open already."""
    sql, arguments = opening(arrivals)
    taken = await tx.fetchrow(sql, *arguments)
    assert taken is not None, "the gate always has a row"
    return taken


async def new_ones(
    tx: Transaction, arrivals: Sequence[Arrival], taken: asyncpg.Record
) -> tuple[list[Arrival], Gate]:
    """Those never taken before, in order, and their gate. `taken`: what the opening told."""
    if taken["fresh"] is None:
        return list(arrivals), _gate(arrivals, taken)
    ids = {str(event_id) for event_id in taken["fresh"]}
    fresh = [arrival for arrival in arrivals if _take_out(ids, str(arrival.meta.event_id))]
    told = await tx.fetchrow(_GATE_ALONE, *_wanted(fresh))
    assert told is not None, "an aggregate always has a row"
    return fresh, _gate(fresh, told)


def _wanted(arrivals: Sequence[Arrival]) -> tuple[list[str], list[str]]:
    aggregates = _aggregates(arrivals)
    return [topic for topic, _ in aggregates], [key for _, key in aggregates]


def _gate(arrivals: Sequence[Arrival], told: asyncpg.Record) -> Gate:
    aggregates = _aggregates(arrivals)
    holding = [
        aggregate for aggregate, holds in zip(aggregates, told["holds"] or (), strict=True) if holds
    ]
    return Gate(dict(zip(aggregates, told["versions"] or (), strict=True)), holding)


def _aggregates(arrivals: Sequence[Arrival]) -> list[Aggregate]:
    return sorted({_aggregate(arrival) for arrival in arrivals if not arrival.once})


def _take_out(ids: set[str], event_id: str) -> bool:
    present = event_id in ids
    ids.discard(event_id)
    return present


async def pass_gate(
    tx: Transaction, fresh: Sequence[Arrival], gate: Gate, *, followers: int = ANY
) -> tuple[list[Arrival], int, dict[Aggregate, int]]:
    """Let events through in the order of their aggregate's versions.

    A version already passed is dropped; one that comes too early is held until its predecessor is
    there. Gives what may take effect now, predecessors first, with as many `followers`, held ones
    that became ready; how many are held; and the versions of the aggregates that got further.
    """
    if not gate.versions:
        return list(fresh), 0, {}
    waiting = await _waiting(tx, gate.holding)
    versions, before = dict(gate.versions), gate.versions
    ready: list[Arrival] = []
    early: list[Arrival] = []
    released: list[Arrival] = []
    for arrival in fresh:
        if arrival.once:
            ready.append(arrival)
            continue
        key = _aggregate(arrival)
        if arrival.meta.version > versions[key] + 1:
            early.append(arrival)
            waiting.setdefault(key, {}).setdefault(arrival.meta.version, arrival)
        elif arrival.meta.version == versions[key] + 1:
            ready.append(arrival)
            versions[key] += 1
        while (
            len(released) < followers
            and (follower := waiting.get(key, {}).pop(versions[key] + 1, None)) is not None
        ):
            ready.append(follower)
            released.append(follower)
            versions[key] += 1
    freed = {arrival.meta.event_id for arrival in released}
    held = [arrival for arrival in early if arrival.meta.event_id not in freed]
    await _hold(tx, held)
    await _release(tx, released)
    return (
        ready,
        len(held),
        {key: version for key, version in versions.items() if version != before[key]},
    )


def _aggregate(arrival: Arrival) -> Aggregate:
    return arrival.meta.topic, arrival.meta.key


async def _waiting(
    tx: Transaction, holding: Sequence[Aggregate]
) -> dict[Aggregate, dict[int, Arrival]]:
    waiting: dict[Aggregate, dict[int, Arrival]] = {}
    if holding:
        topics, keys = zip(*holding, strict=True)
        for row in await tx.fetch(_HELD, topics, keys):
            waiting.setdefault((row["topic"], row["key"]), {})[row["version"]] = read(
                kept(row, key=row["key"].encode())
            )
    return waiting


async def _hold(tx: Transaction, early: Sequence[Arrival]) -> None:
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
    await tx.run(_HOLD, *map(list, zip(*rows, strict=True)))


async def follower_of(tx: Transaction, arrival: Arrival, *, after: int) -> Arrival | None:
    """The held event that is next after this one and so many others."""
    topic, key = _aggregate(arrival)
    version = arrival.meta.version + after + 1
    row = await tx.fetchrow(
        "select * from held where topic = $1 and key = $2 and version = $3", topic, key, version
    )
    return read(kept(row, key=key.encode())) if row else None


async def forget_held(tx: Transaction, follower: Arrival) -> None:
    """As if it had never come: it is kept elsewhere, and may come from there."""
    await _release(tx, [follower])
    await tx.run("delete from inbox where event_id = $1", follower.meta.event_id)


async def _release(tx: Transaction, released: Sequence[Arrival]) -> None:
    if released:
        await tx.run(
            "delete from held where event_id = any($1::uuid[])",
            [arrival.meta.event_id for arrival in released],
        )


def note_consumed(
    tx: Transaction, arrivals: Sequence[Arrival], versions: Mapping[Aggregate, int]
) -> None:
    """Remember how far the aggregates came, and the last record taken of each partition: it proves
    later that the log is the same one.
    """
    last = {(a.meta.topic, a.meta.partition): a for a in arrivals if a.record.offset >= 0}
    tx.consumed(
        [(*aggregate, version) for aggregate, version in versions.items()],
        [
            (topic, partition, a.meta.offset, a.meta.event_id)
            for (topic, partition), a in last.items()
        ],
    )


async def consumed_marks(tx: Transaction) -> list[asyncpg.Record]:
    return await tx.fetch(
        "select topic, partition, log_offset, event_id from marks where kind = 'consumed'"
    )


async def forget_mark(tx: Transaction, topic: str, partition: int) -> None:
    await tx.run(
        "delete from marks where kind = 'consumed' and topic = $1 and partition = $2",
        topic,
        partition,
    )


async def unmark(tx: Transaction, topic: str, key: str, from_version: int, to_version: int) -> int:
    """Have the relay send these versions again; gives how many."""
    return await tx.run(
        "update outbox set published_at = null where topic = $1 and key = $2 and version between $3 and $4 and published_at is not null",
        topic,
        key,
        from_version,
        to_version,
    )


# ── dead letters ──────────────────────────────────────────────────────────────────────────────────


async def park(tx: Transaction, letters: Sequence[tuple[Record, str, str, int]]) -> None:
    """Keep (record, reason, detail, attempts) with all its bytes. The same bytes of a topic are
    parked once.
    """
    for record, reason, detail, attempts in letters:
        said = dict(record.headers)
        await tx.run(
            _PARK,
            _fingerprint(record),
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            _json(headers_as_text(record)),
            _uuid(said.get("ce_id")),
            _text(said.get("ce_type")),
            _text(said.get("ce_subject")),
            _number(said.get("ce_sequence")),
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


async def parked(tx: Transaction) -> list[asyncpg.Record]:
    """Dead letters not settled, for people to look at: the first LETTERS_MAX, the versions of an
    aggregate in order.
    """
    return await tx.fetch(
        "select * from dead_letters where state = 'parked' order by topic, aggregate, version, id limit $1",
        LETTERS_MAX,
    )


async def parked_ids(
    tx: Transaction, *, only: Sequence[int] | None = None, reason: str | None = None
) -> list[int]:
    """Ids of all dead letters not settled, the versions of an aggregate in order."""
    rows = await tx.fetch(
        "select id from dead_letters where state = 'parked' and ($1::bigint[] is null or id = any($1)) "
        "and ($2::text is null or reason = $2) order by topic, aggregate, version, id",
        only,
        reason,
    )
    return [row["id"] for row in rows]


async def settle(tx: Transaction, letter_id: int, *, state: str, by: str) -> asyncpg.Record | None:
    """Mark a dead letter replayed or discarded and give it; None when somebody else did."""
    return await tx.fetchrow(
        "update dead_letters set state = $2, settled_at = clock_timestamp(), settled_by = $3 "
        "where id = $1 and state = 'parked' returning *",
        letter_id,
        state,
        by,
    )


async def counts(tx: Transaction) -> tuple[int, int]:
    """(dead letters not settled, events held)."""
    row = await tx.fetchrow(
        "select (select count(*) from dead_letters where state = 'parked') as p, (select count(*) from held) as h"
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
        from held h left join streams s using (topic, key)
        where h.held_at not between clock_timestamp() - make_interval(secs => $1) and clock_timestamp()
          and (h.asked_at is null or h.asked_at not between clock_timestamp() - interval '60 seconds' and clock_timestamp())
          and not exists (select from dead_letters d where d.topic = h.topic and d.aggregate = h.key and d.state = 'parked')
        group by h.topic, h.key order by min(h.held_at) limit $2
        """,
        older_than_seconds,
        limit,
    )


async def note_asked(tx: Transaction, topic: str, key: str) -> None:
    await tx.run(
        "update held set asked_at = clock_timestamp() where topic = $1 and key = $2", topic, key
    )
