"""Attachments of complaints: kept while the wizard is open, read by reviewers, released to the unit
after a person has looked.
"""

from typing import Any
from uuid import UUID

from services.intake.actions.complaints import MAY_REVEAL
from services.intake.settings import context_of
from services.intake.store import complaints as complaint_store
from services.intake.store import visits as store
from services.intake.store.complaints import sealed_of
from services.intake.store.files import keep_file, read_file, remove_file
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

FILES_MAX = 9


async def add(tx: Transaction, sitting: UUID, body: bytes) -> None:
    """Keep a file of a wizard; the same file again changes nothing. Raises Rejected (409, 413, 415,
    422).
    """
    if len(await store.files_of(tx, sitting)) >= FILES_MAX:
        raise Rejected(f"最多 {FILES_MAX} 个文件", status=422, field="files")
    context, file_id = context_of(tx), new_id()
    kept = await keep_file(context.files, context.ring, file_id, body, documents=True)
    new = await store.add_file(
        tx,
        file_id,
        subject="sitting",
        subject_id=sitting,
        sha256=kept.sha256,
        media_type=kept.media_type,
        size=kept.size,
        derived=kept.derived,
        by=None,
        sealed=kept.sealed,
    )
    if not new:
        remove_file(context.files, file_id)


async def drop(tx: Transaction, sitting: UUID, file_id: UUID) -> None:
    """Take a file out of a wizard again."""
    if await store.drop_file(tx, file_id, sitting):
        remove_file(context_of(tx).files, file_id)


async def hand_over(tx: Transaction, sitting: UUID, complaint_id: UUID) -> None:
    """The files of a finished wizard belong to its complaint now."""
    await store.hand_over_files(tx, sitting, complaint_id)


async def listed(tx: Transaction, subject: UUID) -> list[dict[str, Any]]:
    """Files of a complaint or a wizard: id, kind, size, whether released. Never a name: people put
    theirs into it.
    """
    rows = await store.files_of(tx, subject)
    return [
        {name: row[name] for name in ("id", "media_type", "size", "derived", "released_at")}
        for row in rows
    ]


async def read(tx: Transaction, number: str, file_id: UUID, *, by: Account) -> tuple[bytes, str]:
    """(bytes, media type): the copy without metadata, or a document as it is. Raises Rejected (404).
    Leaves a mark in the audit log.
    """
    row = await _visible(tx, number, file_id, by)
    version, media_type = (
        ("derived", "image/jpeg") if row["derived"] else ("original", "application/octet-stream")
    )
    tx.audit("attachment.read", file_id, str(by.id), number=number, version=version)
    context = context_of(tx)
    return await read_file(
        context.files,
        context.ring,
        file_id,
        sealed_of(row),
        "derived" if row["derived"] else "original",
    ), media_type


async def release(tx: Transaction, number: str, file_id: UUID, *, by: Account) -> None:
    """发布给承办单位. Raises Rejected: 404, or 409 for a document, of which there is no copy without
    metadata.
    """
    row = await _visible(tx, number, file_id, by)
    if not row["derived"]:
        raise Rejected("只有去除元数据的图片可以发布，文件原件密封保存")
    if await store.release(tx, file_id, by.id):
        tx.audit("attachment.released", file_id, str(by.id), number=number)


async def _visible(tx: Transaction, number: str, file_id: UUID, by: Account) -> Any:
    complaint = await complaint_store.visible(tx, number, by)
    row = await store.file(tx, file_id)
    if (
        complaint is None
        or row is None
        or row["wrapped_key"] is None
        or row["subject_id"] != complaint["id"]
        or by.role not in MAY_REVEAL
    ):
        raise Rejected("没有这个附件", status=404)
    return row
