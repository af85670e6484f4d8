"""Attachments of complaints: uploaded to a form draft, read by reviewers, released to the unit."""

from typing import Final
from uuid import UUID

from services.intake.domain.complaints import MAY_REVEAL
from services.intake.settings import context_of
from services.intake.store import complaints, files
from services.intake.store.encrypted_files import Upload, Version, prepare_upload
from services.intake.store.files import FileRow
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

FILES_MAX: Final = 9
MEDIA_TYPES: Final[dict[Version, str]] = {
    "derived": "image/jpeg",
    "original": "application/octet-stream",
}


async def prepare(body: bytes) -> Upload:
    """Check a picture or document before a transaction is opened.

    Raises Rejected (413, 415, 422), DecoderBusy.
    """
    return await prepare_upload(body, documents=True)


async def upload(
    tx: Transaction,
    form_draft: UUID,
    prepared: Upload,
) -> None:
    """Store a file of a form draft. Uploading the same file twice changes nothing.

    Raises Rejected (422) if there are too many.
    """
    uploaded = await files.list_for(tx, form_draft)
    if len(uploaded) >= FILES_MAX:
        raise Rejected(f"最多 {FILES_MAX} 个文件", status=422, field="files")
    folder = context_of(tx).files
    file = await folder.write(new_id(), prepared)
    inserted = await files.add(tx, file, subject="form_draft", subject_id=form_draft, by=None)
    if not inserted:
        folder.remove(file.id)


async def attach(
    tx: Transaction,
    form_draft: UUID,
    complaint_id: UUID,
    *,
    number: str,
    by: str,
) -> None:
    """Give the files of a form draft to the complaint registered from it."""
    attached = await files.attach_to_complaint(tx, form_draft, complaint_id)
    if attached:
        ids = sorted(map(str, attached))
        tx.audit("attachment.received", complaint_id, by, number=number, files=ids)


async def delete(
    tx: Transaction,
    form_draft: UUID,
    file_id: UUID,
) -> None:
    """Delete a file of a form draft."""
    if await files.delete(tx, file_id, form_draft):
        context_of(tx).files.remove(file_id)


async def read(
    tx: Transaction,
    number: str,
    file_id: UUID,
    *,
    by: Account,
) -> tuple[bytes, str]:
    """Return (bytes, media type) of an attachment and write an audit entry.

    A picture is returned without its metadata, a document as it is. Raises Rejected (404).
    """
    file = await _find(tx, number, file_id, by)
    version: Version = "derived" if file.derived else "original"
    tx.audit("attachment.read", file_id, str(by.id), number=number, version=version)
    body = await context_of(tx).files.read(file_id, file.sealed, version)
    return body, MEDIA_TYPES[version]


async def release(
    tx: Transaction,
    number: str,
    file_id: UUID,
    *,
    by: Account,
) -> None:
    """Release a picture to the responsible unit (发布给承办单位).

    Raises Rejected: 404, or 409 for a document, which has no copy without metadata.
    """
    file = await _find(tx, number, file_id, by)
    if not file.derived:
        raise Rejected("只有去除元数据的图片可以发布，文件原件密封保存")
    if await files.release(tx, file_id, by.id):
        tx.audit("attachment.released", file_id, str(by.id), number=number)


async def _find(
    tx: Transaction,
    number: str,
    file_id: UUID,
    by: Account,
) -> FileRow:
    complaint = await complaints.find_visible(tx, number, by)
    file = await files.find(tx, file_id)
    if complaint is None or file is None or by.role not in MAY_REVEAL:
        raise Rejected("没有这个附件", status=404)
    if file.subject_id != complaint.id or not file.is_readable:
        raise Rejected("没有这个附件", status=404)
    return file
