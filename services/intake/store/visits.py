"""Recorded inspections."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from services.intake.domain.visits import CheckedItem, ReportedFinding
from shared.appraisal.labels import VisitMode
from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction

LIST_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVisit:
    """The columns of a visit that come from its report."""

    campaign_id: str
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
    place: str
    items: tuple[CheckedItem, ...]
    findings: tuple[ReportedFinding, ...]
    remarks: str
    photos: tuple[str, ...]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit(NewVisit):
    """A stored visit. `photos` are SHA-256 digests in hexadecimal."""

    id: UUID
    number: str
    counted_at: datetime | None


@dataclass(frozen=True, slots=True)
class VisitEntry:
    """A visit in the list of the appraisal office, with the number of its findings and photos."""

    id: UUID
    number: str
    unit_id: str
    mode: VisitMode
    visited_at: datetime
    received_at: datetime
    counted_at: datetime | None
    skew_seconds: int | None
    inspector: str | None
    findings: int
    photos: int


@dataclass(frozen=True, slots=True)
class VisitCounts:
    """How many visits were received, and how many of them wait for photos."""

    received: int
    waiting: int


async def add(
    tx: Transaction,
    visit_id: UUID,
    visit: NewVisit,
) -> bool:
    """Insert a visit and assign its number; return False if it is stored already."""
    number = await tx.fetchval(
        """
        insert into visits (
          id, number, campaign_id, unit_id, mode, inspector_id, visited_at, device_at, received_at,
          skew_seconds, latitude, longitude, accuracy_metres, place, items, findings, remarks,
          photos, digest)
        select $1, 'XC' || $2 || '-' || lpad(n::text, greatest(6, length(n::text)), '0'), $3, $4,
          $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb, $16::jsonb, $17, $18, $19
        from nextval('visit_numbers') as n
        on conflict (id) do nothing returning number
        """,
        visit_id,
        str(visit.visited_at.astimezone(CHINA).year),
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
        visit.place,
        _json(visit.items),
        _json(visit.findings),
        visit.remarks,
        list(visit.photos),
        visit.digest,
    )
    return number is not None


def _json(rows: Sequence[CheckedItem] | Sequence[ReportedFinding]) -> str:
    return msgspec.json.encode(rows).decode()


_SELECT: Final = """
select id, number, campaign_id, unit_id, mode, inspector_id, visited_at, device_at, received_at,
       skew_seconds, latitude, longitude, accuracy_metres, place, items::text, findings::text,
       remarks, photos, digest, counted_at
from visits where id = $1
"""


def _visit(record: asyncpg.Record) -> Visit:
    columns: dict[str, Any] = dict(record)
    columns["items"] = _decode_items(record["items"])
    columns["findings"] = _decode_findings(record["findings"])
    columns["photos"] = tuple(record["photos"])
    columns["mode"] = VisitMode(record["mode"])
    return Visit(**columns)


def _decode_items(document: str) -> tuple[CheckedItem, ...]:
    return msgspec.json.decode(document, type=tuple[CheckedItem, ...])


def _decode_findings(document: str) -> tuple[ReportedFinding, ...]:
    return msgspec.json.decode(document, type=tuple[ReportedFinding, ...])


async def find(tx: Transaction, visit_id: UUID) -> Visit | None:
    record = await tx.fetchrow(_SELECT, visit_id)
    return _visit(record) if record else None


async def lock(tx: Transaction, visit_id: UUID) -> Visit | None:
    """Return the visit, locked until the transaction ends."""
    record = await tx.fetchrow(f"{_SELECT} for update", visit_id)
    return _visit(record) if record else None


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


async def mark_counted(tx: Transaction, visit_id: UUID) -> bool:
    """Let a visit count; return False if it counts already."""
    marked = await tx.run(
        "update visits set counted_at = $2 where id = $1 and counted_at is null",
        visit_id,
        tx.now,
    )
    return marked > 0


async def list_recent(tx: Transaction) -> list[VisitEntry]:
    """Return the visits of the last 30 days, newest first."""
    records = await tx.fetch(
        """
        select v.id, v.number, v.unit_id, v.mode, v.visited_at, v.received_at, v.counted_at,
               v.skew_seconds, a.display_name as inspector,
               jsonb_array_length(v.findings) as findings, cardinality(v.photos) as photos
        from visits v left join accounts a on a.id = v.inspector_id
        where v.received_at > $1::timestamptz - interval '30 days'
        order by v.received_at desc limit $2
        """,
        tx.now,
        LIST_MAX,
    )
    return [_visit_entry(record) for record in records]


def _visit_entry(record: asyncpg.Record) -> VisitEntry:
    columns: dict[str, Any] = dict(record)
    return VisitEntry(**columns | {"mode": VisitMode(record["mode"])})


async def counts_since(
    tx: Transaction,
    since: datetime,
    *,
    inspector_id: UUID | None = None,
) -> VisitCounts:
    """Count the visits received since then, of one inspector or of all."""
    record = await tx.fetchrow(
        """
        select count(*) as received, count(*) filter (where counted_at is null) as waiting
        from visits where received_at >= $1 and ($2::uuid is null or inspector_id = $2)
        """,
        since,
        inspector_id,
    )
    assert record is not None, "an aggregate always returns a row"
    return VisitCounts(**record)


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


async def coarsen_positions(
    tx: Transaction,
    *,
    before: datetime,
    batch: int,
) -> int:
    """Round old positions to about a kilometre, so that they track no inspector (S20)."""
    return await tx.run(
        """
        update visits set latitude = round(latitude::numeric, 2),
          longitude = round(longitude::numeric, 2), accuracy_metres = 1000
        where id in (
          select id from visits where received_at < $1 and accuracy_metres < 1000 limit $2)
        """,
        before,
        batch,
    )
