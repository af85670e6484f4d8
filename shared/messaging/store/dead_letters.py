"""Dead letters: records that could not be processed, with all their bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.messaging.envelope import Record, headers_as_text
from shared.messaging.store.records import StoredRecord, headers_as_json, headers_from_json
from shared.storage.transaction import Transaction

DEAD_LETTERS_MAX = 1_000
"""Dead letters listed at once."""
_DETAIL_MAX = 500
_TEXT_MAX = 200

_INSERT = """
insert into dead_letters (fingerprint, topic, partition, log_offset, key, body, headers,
                          event_id, type, aggregate, version, reason, detail, attempts)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (topic, fingerprint) do update
set state = 'pending', reason = excluded.reason, detail = excluded.detail
where dead_letters.state <> 'discarded'
"""


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record to be dead-lettered, and why. `reason` is a code, `detail` has no content."""

    record: Record
    reason: str
    detail: str
    attempts: int


class DeadLetter(msgspec.Struct, frozen=True):
    """A row of `dead_letters`."""

    id: int
    topic: str
    partition: int
    log_offset: int
    key: bytes | None
    body: bytes | None
    headers: dict[str, str]
    type: str | None
    aggregate: str | None
    version: int | None
    reason: str
    detail: str
    attempts: int
    dead_lettered_at: datetime

    @property
    def record(self) -> StoredRecord:
        """The Kafka record, byte for byte."""
        return StoredRecord(
            topic=self.topic,
            partition=self.partition,
            offset=self.log_offset,
            key=self.key,
            value=self.body,
            headers=headers_from_json(self.headers),
        )


_COLUMNS = ", ".join(DeadLetter.__struct_fields__)


async def insert(tx: Transaction, failures: Sequence[FailedRecord]) -> None:
    """Store failed records. The same bytes of a topic are stored once."""
    for failure in failures:
        await tx.run(_INSERT, *_values(failure))


def _values(failure: FailedRecord) -> tuple[Any, ...]:
    record = failure.record
    headers = dict(record.headers)
    return (
        _fingerprint(record),
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        headers_as_json(headers_as_text(record)),
        _uuid(headers.get("ce_id")),
        _text(headers.get("ce_type")),
        _text(headers.get("ce_subject")),
        _number(headers.get("ce_sequence")),
        failure.reason,
        failure.detail[:_DETAIL_MAX],
        failure.attempts,
    )


def _fingerprint(record: Record) -> bytes:
    # Sorted, because our tables return headers in another order.
    headers = sorted(f"{name}={value!r}".encode() for name, value in record.headers)
    digest = hashlib.sha256()
    for part in (record.key or b"", record.value or b"\x00none", *headers):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    return value.decode("utf-8", "backslashreplace").replace("\x00", "")[:_TEXT_MAX]


def _uuid(value: bytes | None) -> UUID | None:
    try:
        return UUID((value or b"").decode())
    except ValueError:
        return None


def _number(value: bytes | None) -> int | None:
    text = (value or b"").decode("ascii", "replace")
    fits_bigint = text.isdigit() and len(text) < 18
    return int(text) if fits_bigint else None


async def pending(tx: Transaction) -> list[DeadLetter]:
    """Return the first DEAD_LETTERS_MAX pending dead letters, versions of an aggregate in order."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from dead_letters where state = 'pending' "
        "order by topic, aggregate, version, id limit $1",
        DEAD_LETTERS_MAX,
    )
    return [DeadLetter(**row) for row in rows]


async def pending_ids(
    tx: Transaction,
    *,
    only: Sequence[int] | None = None,
    reason: str | None = None,
) -> list[int]:
    """Return the ids of all pending dead letters, versions of an aggregate in order."""
    rows = await tx.fetch(
        "select id from dead_letters "
        "where state = 'pending' and ($1::bigint[] is null or id = any($1)) "
        "and ($2::text is null or reason = $2) order by topic, aggregate, version, id",
        only,
        reason,
    )
    return [row["id"] for row in rows]


async def resolve(
    tx: Transaction,
    entry_id: int,
    *,
    state: str,
    by: str,
) -> DeadLetter | None:
    """Mark a dead letter replayed or discarded and return it; None if it is not pending."""
    row = await tx.fetchrow(
        "update dead_letters set state = $2, resolved_at = clock_timestamp(), resolved_by = $3 "
        f"where id = $1 and state = 'pending' returning {_COLUMNS}",
        entry_id,
        state,
        by,
    )
    return DeadLetter(**row) if row else None


async def count_pending(tx: Transaction) -> int:
    """Return the number of pending dead letters."""
    return int(await tx.fetchval("select count(*) from dead_letters where state = 'pending'"))
