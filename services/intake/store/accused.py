"""Whom a 举报 accuses: the records of it, and what follows from them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from services.intake.store.rows import read_rows
from shared.storage.transaction import Transaction


class AccusedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record, with the name of the account that made it. `record` counts from 1."""

    record: int
    unit_ids: list[str]
    reason: str
    recorded_at: datetime
    recorded_by_name: str


class AccusingComplaint(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint with its accused bodies and all bodies that it excludes."""

    id: UUID
    campaign_id: str
    accused_unit_ids: list[str]
    excluded_unit_ids: list[str]


async def records(tx: Transaction, complaint_id: UUID) -> list[AccusedRecord]:
    """Return the records of a complaint, newest first."""
    found = await tx.fetch(
        """
        select r.record, r.unit_ids, r.reason, r.recorded_at,
               coalesce(a.display_name, '') as recorded_by_name
        from accused_records r left join accounts a on a.id = r.recorded_by
        where r.complaint_id = $1 order by r.record desc
        """,
        complaint_id,
    )
    return read_rows(AccusedRecord, found)


async def last_record(tx: Transaction, complaint_id: UUID) -> int:
    """Return the number of the last record of a complaint, 0 if there is none."""
    last: int = await tx.fetchval(
        "select coalesce(max(record), 0) from accused_records where complaint_id = $1",
        complaint_id,
    )
    return last


async def add_record(
    tx: Transaction,
    complaint_id: UUID,
    record: int,
    *,
    unit_ids: Collection[str],
    reason: str,
    by: UUID,
) -> None:
    """Insert a record and make its bodies the accused ones."""
    await tx.run(
        """
        with current as (update complaints set accused_unit_ids = $3 where id = $1)
        insert into accused_records (complaint_id, record, unit_ids, reason, recorded_by,
                                     recorded_at)
        values ($1, $2, $3, $4, $5, $6)
        """,
        complaint_id,
        record,
        list(unit_ids),
        reason,
        by,
        tx.now,
    )


async def set_excluded(
    tx: Transaction,
    complaint_id: UUID,
    excluded: Collection[str],
    *,
    accused: Collection[str],
) -> None:
    """Store the bodies whose people may not learn of a complaint against exactly `accused`."""
    await tx.run(
        "update complaints set excluded_unit_ids = $2 where id = $1 and accused_unit_ids = $3",
        complaint_id,
        sorted(excluded),
        list(accused),
    )


async def accusing_complaints(tx: Transaction) -> list[AccusingComplaint]:
    """Return the complaints that accuse a body."""
    found = await tx.fetch(
        """
        select id, campaign_id, accused_unit_ids, excluded_unit_ids from complaints
        where accused_unit_ids <> '{}'
        """
    )
    return read_rows(AccusingComplaint, found)
