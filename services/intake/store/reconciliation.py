"""What was received, by the audit log, compared with the rows and files that there are.

Each query returns what is missing: kind, and a number or id by which people find it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.store.rows import read_rows
from shared.storage.transaction import Transaction

MISSING_MAX: Final = 100
"""Missing records of one kind that are named; the count of the others would not help."""
PAGE_FILES: Final = 2_000
ACTION: Final = "records.reconciled"


class MissingRecord(msgspec.Struct, frozen=True):
    """Something that was received and is gone. `kind`: a key of MISSING_LABELS."""

    kind: str
    subject: str


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one comparison."""

    at: datetime
    missing: list[MissingRecord]
    files: int


class FileOnDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose bytes must be on disk."""

    id: UUID
    subject: str
    subject_id: UUID
    size: int
    derived: bool


# A row that its key was taken from by retention stays; files of erased complaints do not.
_QUERIES: Final = {
    "complaint": """
        select coalesce(a.details ->> 'number', a.subject) as subject from audit a
        where a.action = 'complaint.registered'
          and not exists (select from complaints c where c.id::text = a.subject)
    """,
    "statement": """
        select c.number as subject from complaints c
        where not exists (
          select from vault v where v.complaint_id = c.id and v.part = 'statement')
    """,
    "supplement": """
        select a.details ->> 'supplement' as subject from audit a
        where a.action = 'complaint.supplemented'
          and not exists (select from supplements s where s.id::text = a.details ->> 'supplement')
    """,
    "attachment": """
        select a.details ->> 'number' || '/' || file as subject
        from audit a, jsonb_array_elements_text(a.details -> 'files') as file
        where a.action = 'attachment.received'
          and not exists (select from files f where f.id::text = file)
          and not exists (
            select from audit e where e.action = 'complainant.data_erased'
              and e.subject = a.subject)
    """,
    "visit": """
        select coalesce(a.details ->> 'number', a.subject) as subject from audit a
        where a.action = 'visit.submitted'
          and not exists (select from visits v where v.id::text = a.subject)
    """,
    "photo": """
        select a.subject || '/' || left(a.details ->> 'sha256', 12) as subject from audit a
        where a.action = 'visit.photo_received'
          and not exists (
            select from files f where f.subject_id::text = a.subject
              and encode(f.sha256, 'hex') = a.details ->> 'sha256')
    """,
    "entry": """
        select c.number as subject from complaints c
        where not exists (
          select from audit a
          where a.subject = c.id::text and a.action = 'complaint.registered')
    """,
}


async def missing_records(tx: Transaction) -> list[MissingRecord]:
    """Return records whose row, or whose audit entry, is gone."""
    missing: list[MissingRecord] = []
    for kind, query in _QUERIES.items():
        rows = await tx.fetch(
            f"select $1::text as kind, found.subject from ({query}) as found order by 2 limit $2",
            kind,
            MISSING_MAX,
        )
        missing += read_rows(MissingRecord, rows)
    return missing


async def files_after(tx: Transaction, last: UUID) -> list[FileOnDisk]:
    """Return the next files by id whose bytes must be on disk."""
    rows = await tx.fetch(
        "select id, subject, subject_id, size, derived from files "
        "where id > $1 and wrapped_key is not null order by id limit $2",
        last,
        PAGE_FILES,
    )
    return read_rows(FileOnDisk, rows)


async def still_expected(tx: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the files that still must be on disk."""
    rows = await tx.fetch(
        "select id from files where id = any($1) and wrapped_key is not null", list(ids)
    )
    return {row["id"] for row in rows}


async def last_reconciliation(tx: Transaction) -> Reconciliation | None:
    """Return the newest outcome; None if none was recorded."""
    rows = await tx.fetch(_LAST, ACTION)
    if not rows:
        return None
    at, details = rows[0].values()
    return msgspec.convert({"at": at, **msgspec.json.decode(details)}, Reconciliation)


async def lock_reconciliation(tx: Transaction) -> None:
    """Let one process at a time record an outcome."""
    await tx.run("select pg_advisory_xact_lock(hashtextextended('intake:reconcile', 0))")


_LAST: Final = """
select at, details::text as details from audit where action = $1 order by at desc, id desc limit 1
"""
