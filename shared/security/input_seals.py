"""Seals the inputs of scores at the service that owns them, once an hour.

Context: whoever owns the database could change a ballot in every table at once, and a recount of
those tables would agree with the changed score.
Decision: each hour a service hashes every input that it does not yet have sealed, per stream
(`SEALED_TOPICS`, and what `Service.sealed` adds). The audit entry `inputs.sealed` holds count,
Merkle root and the hash of the seal before; it is signed and leaves the system with the log's
checkpoints. The hashes stay in `input_seals` and, with the id of the input, in `sealed_inputs`, so
that verification can name the input. What commits late is sealed an hour later.
Consequences: no content is in the log. An input can be removed unnoticed until the hour is over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from shared.appraisal.sealed_inputs import SEALED_TOPICS, sealed_content
from shared.security.merkle import Tree, leaf_hash
from shared.storage.transaction import Transaction

SEAL_ITEMS_MAX: Final = 2_000
"""Inputs of one stream in one seal; more are sealed at once after it, under the next number."""
SEAL_ACTION: Final = "inputs.sealed"
NO_SEAL: Final = bytes(32)
"""What the first seal of a stream names as the one before it."""


@dataclass(frozen=True, slots=True)
class SealedStream:
    """Inputs of one kind.

    `select` returns id, part, type, key, version, at, body and ends in a condition. `id` and `part`
    are the expressions that identify an input; `outbox_id` is the id that grows with time, if the
    stream has one.
    """

    name: str
    select: str
    id: str
    part: str = "0::smallint"
    outbox_id: str = ""

    @property
    def unsealed(self) -> str:
        """SQL for the inputs not sealed yet, from an outbox id on, up to a number."""
        later = f"{self.outbox_id} > $1" if self.outbox_id else "$1::bigint >= 0"
        return f"""
            {self.select} and {later} and not exists (
              select from sealed_inputs s where s.item = {self.id} and s.part = {self.part})
            order by {self.outbox_id or self.id}, part limit $2
        """

    @property
    def by_id(self) -> str:
        """SQL for the inputs with these ids."""
        return f"{self.select} and {self.id} = any($1::uuid[])"


@dataclass(frozen=True, slots=True)
class StreamItem:
    """An input, as a stream's query returns it. `body`: JSON."""

    id: UUID
    part: int
    type: str
    key: str
    version: int
    at: datetime
    body: str


_EVENTS: Final = """
select o.event_id as id, 0::smallint as part, o.type, o.key, o.version, o.occurred_at as at,
  convert_from(o.body, 'utf8') as body
from outbox o where o.topic = '{topic}'
"""


def sealed_streams(
    topics: Sequence[str], others: Sequence[SealedStream] = ()
) -> tuple[SealedStream, ...]:
    """Return the streams of a service that publishes `topics`."""
    sealed = sorted(SEALED_TOPICS.intersection(topics))
    return (*map(_stream_of, sealed), *others)


def _stream_of(topic: str) -> SealedStream:
    return SealedStream(topic, _EVENTS.format(topic=topic), "o.event_id", outbox_id="o.id")


@dataclass(frozen=True, slots=True)
class InputSeal:
    """The seal of one stream: the leaf hashes in order, their root, and the chain of all seals."""

    stream: str
    leaves: Sequence[bytes]
    root: bytes
    chain: bytes

    def details(self) -> dict[str, Any]:
        """Return what the audit entry says about this stream."""
        return {"count": len(self.leaves), "root": self.root.hex(), "chain": self.chain.hex()}


def make_seal(stream: str, leaves: Sequence[bytes], before: bytes) -> InputSeal:
    """Return the seal of `leaves`, whose order is that of their bytes, after the seal `before`.

    Ordered by hash they tell nothing about who came first.
    """
    ordered = sorted(leaves)
    root = Tree().grow(ordered).root
    chain = hashlib.sha256(before + len(ordered).to_bytes(8) + root).digest()
    return InputSeal(stream, ordered, root, chain)


async def seal_inputs(tx: Transaction, streams: Sequence[SealedStream]) -> bool:
    """Seal what is not sealed yet, once for each hour; return whether there may be more.

    An hour without inputs gets a seal as well if anything else was recorded in it.
    """
    hour = tx.now.replace(minute=0, second=0, microsecond=0)
    if not streams or not await tx.fetchval(_LOCK):
        return False
    last = await tx.fetchrow(_LAST)
    if last and last["sealed_to"] == hour and not last["more"]:
        return False
    return await _seal(tx, streams, hour, (last["sequence"] if last else 0) + 1)


async def _seal(
    tx: Transaction,
    streams: Sequence[SealedStream],
    hour: datetime,
    sequence: int,
) -> bool:
    last_id = await tx.fetchval("select coalesce(max(id), 0) from outbox")
    found = {stream.name: await _unsealed(tx, stream) for stream in streams}
    if not any(found.values()) and not await tx.fetchval(_IS_ACTIVE, SEAL_ACTION):
        return False
    more = any(len(rows) == SEAL_ITEMS_MAX for rows in found.values())
    seals = [await _insert_seal(tx, sequence, name, rows) for name, rows in found.items()]
    await tx.run(_INSERT_ROUND, sequence, hour, last_id, more)
    details = {seal.stream: seal.details() for seal in seals}
    subject = f"{hour:%Y-%m-%dT%H}"
    tx.audit(SEAL_ACTION, subject, tx.service, sequence=sequence, streams=details)
    return more


async def _unsealed(tx: Transaction, stream: SealedStream) -> Sequence[StreamItem]:
    first_id = await tx.fetchval(_FIRST_ID, LATE_COMMIT)
    rows = await tx.fetch(stream.unsealed, first_id, SEAL_ITEMS_MAX)
    return [StreamItem(**row) for row in rows]


async def _insert_seal(
    tx: Transaction,
    sequence: int,
    stream: str,
    items: Sequence[StreamItem],
) -> InputSeal:
    hashes = [leaf_hash(content_of(item)) for item in items]
    before = await tx.fetchval(_CHAIN, stream) or NO_SEAL
    seal = make_seal(stream, hashes, before)
    joined = b"".join(seal.leaves)
    await tx.run(_INSERT_SEAL, sequence, stream, len(hashes), seal.root, joined, seal.chain)
    ids = [item.id for item in items]
    parts = [item.part for item in items]
    await tx.run(_INSERT_ITEMS, sequence, stream, ids, parts, hashes)
    return seal


def content_of(item: StreamItem) -> bytes:
    """Return the content of an input that is hashed."""
    return sealed_content(
        id=item.id,
        part=item.part,
        type=item.type,
        key=item.key,
        version=item.version,
        at=item.at,
        body=json.loads(item.body),
    )


LATE_COMMIT: Final = timedelta(hours=1)
"""A transaction that drew its outbox id earlier than this has committed: it lasts a minute at most.
"""
_LOCK: Final = """
select pg_try_advisory_xact_lock(hashtextextended('inputs:' || current_schema(), 0))
"""
_LAST: Final = """
select sequence, sealed_to, more from seal_rounds order by sequence desc limit 1
"""
_FIRST_ID: Final = """
select coalesce(max(outbox_id), 0) from seal_rounds
where sealed_at < clock_timestamp() - $1::interval and not more
"""
_IS_ACTIVE: Final = """
select exists (
  select from audit where action <> $1
    and at > coalesce((select max(at) from audit where action = $1), '-infinity'))
"""
_CHAIN: Final = """
select chain from input_seals where stream = $1 order by sequence desc limit 1
"""
_INSERT_ROUND: Final = """
insert into seal_rounds (sequence, sealed_to, outbox_id, more) values ($1, $2, $3, $4)
"""
_INSERT_SEAL: Final = """
insert into input_seals (sequence, stream, items, root, leaves, chain)
values ($1, $2, $3, $4, $5, $6)
"""
_INSERT_ITEMS: Final = """
insert into sealed_inputs (sequence, stream, item, part, leaf_hash)
select $1, $2, * from unnest($3::uuid[], $4::smallint[], $5::bytea[])
"""
