"""Rows of stored files: photos of visits, attachments of complaints and of form drafts."""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from services.intake.store.encrypted_files import EncryptedFile
from services.intake.store.rows import SealedRow, read_optional, read_rows
from shared.storage.transaction import Transaction

Subject = Literal["visit", "complaint", "form_draft"]
_COLUMNS: Final = (
    "id, subject, subject_id, media_type, size, derived, stored_by, released_at, "
    "ciphertext, wrapped_key, key_version"
)


class FileRow(SealedRow, frozen=True, kw_only=True):
    """A stored file. `sealed` holds its key; a file whose key was destroyed cannot be read."""

    id: UUID
    subject: Subject
    subject_id: UUID
    media_type: str
    size: int
    derived: bool
    stored_by: UUID | None
    released_at: datetime | None

    @property
    def is_readable(self) -> bool:
        """Whether the key of the file still exists."""
        return self.wrapped_key is not None

    @property
    def kilobytes(self) -> int:
        return round(self.size / 1024)


async def add(
    tx: Transaction,
    file: EncryptedFile,
    *,
    subject: Subject,
    subject_id: UUID,
    by: UUID | None,
) -> bool:
    """Insert the row of a file on disk; return False if the subject has the same file already."""
    inserted = await tx.fetchval(
        """
        insert into files (id, subject, subject_id, sha256, media_type, size, derived, stored_by,
                           stored_at, ciphertext, wrapped_key, key_version)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (subject_id, sha256) do nothing returning 1
        """,
        file.id,
        subject,
        subject_id,
        file.sha256,
        file.media_type,
        file.size,
        file.derived,
        by,
        tx.now,
        file.sealed.ciphertext,
        file.sealed.wrapped_key,
        file.sealed.key_version,
    )
    return inserted is not None


async def list_for(tx: Transaction, subject_id: UUID) -> list[FileRow]:
    """Return the files of a visit, complaint or form draft, oldest first."""
    records = await tx.fetch(
        f"select {_COLUMNS} from files where subject_id = $1 order by stored_at, id", subject_id
    )
    return read_rows(FileRow, records)


async def find(tx: Transaction, file_id: UUID) -> FileRow | None:
    """Return the row of a file."""
    record = await tx.fetchrow(f"select {_COLUMNS} from files where id = $1", file_id)
    return read_optional(FileRow, record)


async def exists(
    tx: Transaction,
    subject_id: UUID,
    sha256: bytes,
) -> bool:
    found: bool = await tx.fetchval(
        "select exists (select from files where subject_id = $1 and sha256 = $2)",
        subject_id,
        sha256,
    )
    return found


async def attach_to_complaint(
    tx: Transaction,
    form_draft: UUID,
    complaint_id: UUID,
) -> list[UUID]:
    """Move the files of a form draft to the complaint registered from it; return their ids."""
    records = await tx.fetch(
        "update files set subject = 'complaint', subject_id = $2 "
        "where subject = 'form_draft' and subject_id = $1 returning id",
        form_draft,
        complaint_id,
    )
    return [record["id"] for record in records]


async def delete(
    tx: Transaction,
    file_id: UUID,
    subject_id: UUID,
) -> bool:
    """Delete the row of a file of this subject; return whether there was one."""
    deleted = await tx.run(
        "delete from files where id = $1 and subject_id = $2", file_id, subject_id
    )
    return deleted > 0


async def release(
    tx: Transaction,
    file_id: UUID,
    by: UUID,
) -> bool:
    """Release a copy without metadata to the unit; return False if nothing changed."""
    released = await tx.run(
        "update files set released_at = $2, released_by = $3 "
        "where id = $1 and derived and released_at is null",
        file_id,
        tx.now,
        by,
    )
    return released > 0


async def delete_abandoned(
    tx: Transaction,
    *,
    before: datetime,
    batch: int,
) -> list[UUID]:
    """Delete the rows of files of unfinished form drafts; the caller removes their bytes."""
    records = await tx.fetch(
        """
        delete from files where id in (
          select id from files where subject = 'form_draft' and stored_at < $1 limit $2
        ) returning id
        """,
        before,
        batch,
    )
    return [record["id"] for record in records]


async def delete_unreadable(tx: Transaction) -> list[UUID]:
    """Delete the rows of attachments without a key; the caller removes their bytes."""
    records = await tx.fetch(
        "delete from files where subject = 'complaint' and wrapped_key is null returning id"
    )
    return [record["id"] for record in records]
