"""Links from reports of retaliation to the complaints that they followed."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from services.intake.store.rows import read_rows
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.storage.transaction import Transaction


async def insert(
    tx: Transaction,
    complaint_id: UUID,
    source_id: UUID,
    *,
    linked_by: UUID,
) -> bool:
    """Insert a link; return False if it exists."""
    inserted = await tx.fetchval(
        """
        insert into retaliation_links (complaint_id, source_id, linked_by, linked_at)
        values ($1, $2, $3, $4) on conflict do nothing returning true
        """,
        complaint_id,
        source_id,
        linked_by,
        tx.now,
    )
    return inserted is not None


async def source_numbers(tx: Transaction, number: str) -> list[str]:
    """Return the numbers of the complaints because of which this one reports retaliation."""
    records = await tx.fetch(
        """
        select s.number from retaliation_links l
          join complaints c on c.id = l.complaint_id join complaints s on s.id = l.source_id
        where c.number = $1 order by s.number
        """,
        number,
    )
    return [record["number"] for record in records]


class LinkedComplaint(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint that is linked to another."""

    id: UUID
    number: str
    kind: ComplaintKind


async def linked_to(tx: Transaction, complaint_id: UUID) -> list[LinkedComplaint]:
    """Return the complaints that are linked to this one, in either direction."""
    records = await tx.fetch(
        """
        select c.id, c.number, c.kind from retaliation_links l
          join complaints c on c.id = case
            when l.complaint_id = $1 then l.source_id else l.complaint_id end
        where l.complaint_id = $1 or l.source_id = $1 order by c.number
        """,
        complaint_id,
    )
    return read_rows(LinkedComplaint, records)


async def raise_to_urgent(
    tx: Transaction,
    complaint_ids: Collection[UUID],
    reason: str,
) -> list[UUID]:
    """Make complaints of normal urgency urgent; return those that changed."""
    records = await tx.fetch(
        """
        update complaints set urgency = $2, urgency_reason = $3
        where id = any($1::uuid[]) and urgency = $4 returning id
        """,
        list(complaint_ids),
        Urgency.URGENT,
        reason,
        Urgency.NORMAL,
    )
    return [record["id"] for record in records]
