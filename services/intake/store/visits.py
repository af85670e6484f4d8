"""Recorded inspections. What the inspectors wrote is sealed."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.visits import VisitContent
from services.intake.store.rows import read_optional, read_row, read_rows
from shared.appraisal.labels import VisitMode
from shared.security.keyring import KeyRing, SealedRecord
from shared.storage.transaction import Transaction

LIST_MAX: Final = 100
DUE_MAX: Final = 100
_COVERT_AND_RUNNING: Final = "r.mode = 'covert' and r.closed_at is null and r.ends_on >= $1::date"


class NewVisit(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a visit that come from its report."""

    campaign_id: str
    round_id: UUID | None
    unit_id: str
    mode: VisitMode
    inspector_id: UUID
    visited_at: datetime
    device_at: datetime | None
    received_at: datetime
    skew_seconds: int | None
    latitude: float | None
    longitude: float | None
    accuracy_metres: float | None
    photos: tuple[str, ...]
    digest: bytes


class Visit(NewVisit, frozen=True, kw_only=True):
    """A stored visit. `photos` are SHA-256 digests in hexadecimal.

    Visits of one `batch_id` are handed over together.
    """

    id: UUID
    number: str
    batch_id: UUID
    completed_at: datetime | None
    registered_at: datetime | None
    handed_over_at: datetime | None
    ciphertext: bytes
    wrapped_key: bytes | None
    key_version: int

    def content(self, ring: KeyRing) -> VisitContent:
        """Return what the inspector wrote."""
        sealed = SealedRecord(self.ciphertext, self.wrapped_key, self.key_version)
        fields = ring.unseal(_record_id(self.id), sealed)
        return msgspec.json.decode(fields["content"], type=VisitContent)


def seal_content(ring: KeyRing, visit_id: UUID, content: VisitContent) -> SealedRecord:
    """Return what the inspector wrote, encrypted."""
    return ring.seal(_record_id(visit_id), {"content": msgspec.json.encode(content).decode()})


def _record_id(visit_id: UUID) -> str:
    return f"visit/{visit_id}"


class VisitEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A visit in the list of the appraisal office, with the number of its findings and photos."""

    id: UUID
    number: str
    unit_id: str
    mode: VisitMode
    visited_at: datetime
    received_at: datetime
    completed_at: datetime | None
    registered_at: datetime | None
    handed_over_at: datetime | None
    skew_seconds: int | None
    inspector: str | None
    round_name: str | None
    findings: int
    photos: int


class VisitCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many visits were received, and how many of them wait for photos."""

    received: int
    waiting: int


async def add(
    tx: Transaction,
    visit_id: UUID,
    visit: NewVisit,
    *,
    number: str,
    sealed: SealedRecord,
) -> bool:
    """Insert a visit; return False if it, or another of this number, is stored already."""
    is_covert = visit.mode is VisitMode.COVERT
    inserted = await tx.fetchval(
        """
        insert into visits (
          id, number, round_id, batch_id, campaign_id, unit_id, mode, inspector_id, visited_at,
          device_at, received_at, skew_seconds, latitude, longitude, accuracy_metres, photos,
          digest, ciphertext, wrapped_key, key_version)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20)
        on conflict do nothing returning true
        """,
        visit_id,
        number,
        visit.round_id,
        (visit.round_id if is_covert else None) or visit_id,
        visit.campaign_id,
        visit.unit_id,
        visit.mode,
        visit.inspector_id,
        visit.visited_at,
        visit.device_at,
        visit.received_at,
        visit.skew_seconds,
        visit.latitude,
        visit.longitude,
        visit.accuracy_metres,
        list(visit.photos),
        visit.digest,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )
    return inserted is not None


_COLUMNS: Final = """
select id, number, round_id, batch_id, campaign_id, unit_id, mode, inspector_id, visited_at,
       device_at, received_at, skew_seconds, latitude, longitude, accuracy_metres, photos, digest,
       completed_at, registered_at, handed_over_at, ciphertext, wrapped_key, key_version
from visits
"""


async def find(tx: Transaction, visit_id: UUID) -> Visit | None:
    return read_optional(Visit, await tx.fetchrow(f"{_COLUMNS} where id = $1", visit_id))


async def lock(tx: Transaction, visit_id: UUID) -> Visit | None:
    """Return the visit, locked until the transaction ends."""
    record = await tx.fetchrow(f"{_COLUMNS} where id = $1 for update", visit_id)
    return read_optional(Visit, record)


async def lock_batch(tx: Transaction, batch_id: UUID) -> list[Visit]:
    """Return the complete visits of a batch that are not handed over, locked, ordered by id."""
    records = await tx.fetch(
        f"{_COLUMNS} where batch_id = $1 and completed_at is not null and handed_over_at is null "
        "order by id for update",
        batch_id,
    )
    return read_rows(Visit, records)


async def due_batches(tx: Transaction, today: date) -> list[UUID]:
    """Return batches whose findings the reviewers should get, or that can be handed over."""
    records = await tx.fetch(
        f"""
        select distinct v.batch_id from visits v
        left join inspection_rounds r on r.id = v.round_id
        where v.completed_at is not null and v.handed_over_at is null
          and coalesce({_COVERT_AND_RUNNING}, false) = false
          and (v.registered_at is null or not exists (
            select from visits w join findings f on f.visit_id = w.id
            join summary_drafts d on d.subject_id = f.id where w.batch_id = v.batch_id))
        limit $2
        """,
        today,
        DUE_MAX,
    )
    return [record["batch_id"] for record in records]


async def batch_may_leave(tx: Transaction, batch_id: UUID, today: date) -> bool:
    """Return whether the round of a batch has ended, or it has no covert round."""
    running: bool = await tx.fetchval(
        f"select exists (select from inspection_rounds r where id = $2 and {_COVERT_AND_RUNNING})",
        today,
        batch_id,
    )
    return not running


async def batch_awaits_release(tx: Transaction, batch_id: UUID) -> bool:
    """Return whether a text of the batch awaits its release."""
    awaits: bool = await tx.fetchval(
        """
        select exists (select from visits v join findings f on f.visit_id = v.id
          join summary_drafts d on d.subject_id = f.id where v.batch_id = $1)
        """,
        batch_id,
    )
    return awaits


async def mark_complete(tx: Transaction, visit_id: UUID) -> bool:
    """Record that all photos of a visit are stored; return False if that is known."""
    marked = await tx.run(
        "update visits set completed_at = $2 where id = $1 and completed_at is null",
        visit_id,
        tx.now,
    )
    return marked > 0


async def mark_registered(tx: Transaction, visit_ids: Sequence[UUID]) -> None:
    """Record that the reviewers got the findings of these visits."""
    await tx.run(
        "update visits set registered_at = $2 where id = any($1::uuid[])", visit_ids, tx.now
    )


async def mark_handed_over(tx: Transaction, visit_ids: Sequence[UUID]) -> None:
    """Record that these visits count and that units learn of them."""
    await tx.run(
        "update visits set handed_over_at = $2 where id = any($1::uuid[])", visit_ids, tx.now
    )


async def missing_photos(
    tx: Transaction,
    visit_id: UUID,
    photos: Sequence[str],
) -> list[str]:
    """Return which of these photos (SHA-256, hexadecimal) are not stored yet, in their order."""
    records = await tx.fetch(
        """
        select p.sha256 from unnest($2::text[]) with ordinality as p (sha256, place)
        where not exists (
          select from files f where f.subject_id = $1 and f.sha256 = decode(p.sha256, 'hex'))
        order by p.place
        """,
        visit_id,
        list(photos),
    )
    return [record["sha256"] for record in records]


async def list_recent(tx: Transaction) -> list[VisitEntry]:
    """Return the visits of the last 30 days, newest first."""
    records = await tx.fetch(
        """
        select v.id, v.number, v.unit_id, v.mode, v.visited_at, v.received_at, v.completed_at,
               v.registered_at, v.handed_over_at, v.skew_seconds, a.display_name as inspector,
               r.name as round_name, cardinality(v.photos) as photos,
               (select count(*) from findings f where f.visit_id = v.id) as findings
        from visits v left join accounts a on a.id = v.inspector_id
        left join inspection_rounds r on r.id = v.round_id
        where v.received_at > $1::timestamptz - interval '30 days'
        order by v.received_at desc limit $2
        """,
        tx.now,
        LIST_MAX,
    )
    return read_rows(VisitEntry, records)


async def counts_since(
    tx: Transaction,
    since: datetime,
    *,
    inspector_id: UUID | None = None,
) -> VisitCounts:
    """Count the visits received since then, of one inspector or of all."""
    record = await tx.fetchrow(
        """
        select count(*) as received, count(*) filter (where completed_at is null) as waiting
        from visits where received_at >= $1 and ($2::uuid is null or inspector_id = $2)
        """,
        since,
        inspector_id,
    )
    assert record is not None, "an aggregate always returns a row"
    return read_row(VisitCounts, record)


async def belongs_to_another(
    tx: Transaction,
    visit_id: UUID,
    account_id: UUID,
) -> bool:
    """Return whether this visit, or a photo of it, belongs to another inspector."""
    found: bool = await tx.fetchval(
        "select exists (select from visits where id = $1 and inspector_id <> $2) "
        "or exists (select from files where subject_id = $1 and stored_by <> $2)",
        visit_id,
        account_id,
    )
    return found


async def coarsen_tracks(
    tx: Transaction,
    *,
    before: datetime,
    batch: int,
) -> int:
    """Round old positions to about a kilometre and old times to the day, so that nobody can
    reconstruct where an inspector went (S20).
    """
    return await tx.run(
        f"""
        update visits set latitude = round(latitude::numeric, 2),
          longitude = round(longitude::numeric, 2),
          accuracy_metres = case when latitude is not null then 1000 end,
          visited_at = {_DAY_OF_VISIT}, device_at = null, skew_seconds = null
        where id in (
          select id from visits where received_at < $1
            and (accuracy_metres < 1000 or visited_at <> {_DAY_OF_VISIT}) limit $2)
        """,
        before,
        batch,
    )


_DAY_OF_VISIT: Final = "date_trunc('day', visited_at, 'Asia/Shanghai')"
