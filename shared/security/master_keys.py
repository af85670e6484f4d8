"""Rotation of master keys: new records use the new key, a job re-wraps the old ones.

Decision: only wrapped data keys are encrypted again, never the records. Every process reads its
ring again once a minute, and at once when it meets a version that it does not know. An old key
stays in the ring until a person destroys it, which is refused while a record or a process may still
need it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from shared.security.audit import SqlTransaction
from shared.security.keyring import KeyRing, SealedRecord
from shared.security.service_keys import VAULT, ServiceKeys, register_keys

REWRAP_SECONDS: Final = 60
REWRAP_BATCH: Final = 500
DESTROY_AFTER_SECONDS: Final = 600
"""A key may be destroyed this long after its rotation: by then every process uses the new one."""

Transactions = Callable[[], AbstractAsyncContextManager[SqlTransaction]]


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with the columns of `SealedRecord`, and the SQL of the id that was bound in."""

    name: str
    record_id: str


@dataclass(frozen=True, slots=True)
class SealedData:
    """Everything that a service's ring encrypts in the database."""

    ring: KeyRing = field(repr=False)
    tables: Sequence[SealedTable]


async def rewrap(tx: SqlTransaction, sealed: SealedData) -> bool:
    """Re-wrap some data keys under the current master key; return whether there may be more."""
    sealed.ring.refresh()
    for table in sealed.tables:
        if await _rewrap_table(tx, sealed.ring, table):
            return True
    return False


async def _rewrap_table(tx: SqlTransaction, ring: KeyRing, table: SealedTable) -> bool:
    query = _OLD.format(table=table.name, record_id=table.record_id)
    rows = await tx.fetch(query, ring.current, REWRAP_BATCH)
    places: list[tuple[int, int]] = []
    wrapped_keys: list[bytes | None] = []
    for row in rows:
        place, record_id, wrapped_key, version = row.values()
        old = SealedRecord(b"", wrapped_key, version)
        places.append(place)
        wrapped_keys.append(ring.rewrap(record_id, old).wrapped_key)
    await tx.run(_REWRAP.format(table=table.name), places, wrapped_keys, ring.current)
    return bool(rows)


async def records_by_version(tx: SqlTransaction, tables: Sequence[SealedTable]) -> Counter[int]:
    """Return how many records each version of the master key wraps."""
    counts: Counter[int] = Counter()
    for table in tables:
        for row in await tx.fetch(_COUNTS.format(table=table.name)):
            version, records = row.values()
            counts[version] += records
    return counts


async def rotate_master_key(transaction: Transactions, keys: ServiceKeys, *, by: str) -> int:
    """Add a new master key to the ring and return its version."""
    async with transaction() as tx:
        await tx.run(_LOCK)  # Two rotations at once would overwrite each other's key.
        ring = keys.ring.rotated()
        ring.save(keys.path(VAULT))
        check_value = ring.check_value(ring.current)
        await register_keys(tx, {(VAULT.name, ring.current): check_value})
        await _audit(tx, "key.rotated", by, ring.current)
    return ring.current


async def destroy_master_key(
    transaction: Transactions,
    keys: ServiceKeys,
    tables: Sequence[SealedTable],
    *,
    version: int,
    by: str,
) -> None:
    """Remove an old master key from the ring: what it wraps in backups is lost.

    Raises StillNeeded, VaultError if it is the current one or unknown.
    """
    async with transaction() as tx:
        await tx.run(_LOCK)
        ring = keys.ring.without(version)
        await _check_not_needed(tx, ring, tables, version)
        await _audit(tx, "key.destroyed", by, version)
        ring.save(keys.path(VAULT))


async def _check_not_needed(
    tx: SqlTransaction, ring: KeyRing, tables: Sequence[SealedTable], version: int
) -> None:
    records = (await records_by_version(tx, tables))[version]
    if records:
        raise StillNeeded(f"{records} records still need version {version}")
    rows = await tx.fetch(_ROTATED_BEFORE, VAULT.name, ring.current, DESTROY_AFTER_SECONDS)
    if not rows:
        minutes = DESTROY_AFTER_SECONDS // 60
        raise StillNeeded(
            f"a process may still use version {version}: wait until {minutes} minutes after "
            "the rotation"
        )


class StillNeeded(Exception):
    """A key cannot be destroyed yet; the message says why."""


async def _audit(tx: SqlTransaction, action: str, by: str, version: int) -> None:
    await tx.run(_INSERT_ENTRY, by, action, VAULT.name, version)


_LOCK: Final = """
select pg_advisory_xact_lock(hashtextextended('master-keys:' || current_schema(), 0))
"""
_OLD: Final = """
select ctid, {record_id} as record_id, wrapped_key, key_version from {table}
where wrapped_key is not null and key_version < $1 limit $2 for update skip locked
"""
_REWRAP: Final = """
update {table} t set wrapped_key = s.wrapped_key, key_version = $3
from unnest($1::tid[], $2::bytea[]) as s (place, wrapped_key) where t.ctid = s.place
"""
_COUNTS: Final = """
select key_version, count(*) as records from {table}
where wrapped_key is not null group by key_version
"""
_ROTATED_BEFORE: Final = """
select 1 from key_checks where kind = $1 and version = $2
  and at < clock_timestamp() - make_interval(secs => $3)
"""
_INSERT_ENTRY: Final = """
insert into audit (at, actor, action, subject, details)
values (public.app_now(), $1, $2, $3, jsonb_build_object('version', $4::int))
"""
