"""Accept the photos and the report of a visit, in any order and any number of times."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.intake.domain.visits import (
    PHOTOS_MAX,
    ReportedFinding,
    VisitReport,
    check_items,
    check_photos,
    check_visited_at,
    finding_id,
    findings_of,
    passed_items,
    skew_seconds,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, files
from services.intake.store import visits as store
from services.intake.store.encrypted_files import Upload, prepare_upload
from services.intake.store.visits import NewVisit, Visit
from shared.appraisal.errors import Rejected
from shared.appraisal.events import VisitFinding, VisitSubmitted
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Checklist
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.security.pii import mask_pii_async
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


@dataclass(frozen=True, slots=True)
class VisitReceipt:
    """What the phone may rely on: it deletes its copy only when nothing is missing."""

    id: UUID
    number: str
    missing: list[str] = field(default_factory=list)
    is_new: bool = False


async def prepare_photo(body: bytes, sha256: str) -> Upload:
    """Check a photo before a transaction is opened.

    Raises Rejected: 422 if the bytes do not match `sha256`, 413, 415 or 422 for an unusable
    picture. Raises DecoderBusy.
    """
    _check_digest(body, sha256)
    return await prepare_upload(body)


async def store_photo(
    tx: Transaction,
    *,
    visit_id: UUID,
    upload: Upload,
    by: Account,
) -> bool:
    """Store a photo of a visit, before or after its report; return False if it is stored already.

    Raises Rejected: 404 for another inspector's visit, 409 if the visit has nine photos.
    """
    await _check_owner(tx, visit_id, by)
    if await files.exists(tx, visit_id, upload.sha256):
        return False
    await _check_photo_count(tx, visit_id)
    photo = await context_of(tx).files.write(new_id(), upload)
    added = await files.add(tx, photo, subject="visit", subject_id=visit_id, by=by.id)
    if not added:
        return False
    telemetry.visit_uploads.labels("photo").inc()
    sha256 = upload.sha256.hex()
    tx.audit("visit.photo_received", visit_id, str(by.id), sha256=sha256, size=photo.size)
    await _count_after_photo(tx, visit_id)
    return True


def _check_digest(body: bytes, sha256: str) -> None:
    if hashlib.sha256(body).hexdigest() != sha256:
        raise Rejected("照片在传输中损坏，请重新上传", status=422, field="sha256")


async def _check_photo_count(tx: Transaction, visit_id: UUID) -> None:
    photos = await files.list_for(tx, visit_id)
    if len(photos) >= PHOTOS_MAX:
        raise Rejected(f"每份检查最多 {PHOTOS_MAX} 张照片")


async def submit_visit(
    tx: Transaction,
    visit_id: UUID,
    report: VisitReport,
    *,
    by: Account,
) -> VisitReceipt:
    """Store the report of a visit. The visit counts once all its photos are stored; until then the
    receipt names those missing.

    The same report sent again returns the same receipt. Raises Rejected: 409 for another report
    under this id, 404 for another inspector's visit, 422 for an invalid report.
    """
    await _check_owner(tx, visit_id, by)
    visit, is_new = await _find_or_add(tx, visit_id, report, by)
    if visit.digest != report.digest:
        raise Rejected("这份检查已经提交，提交后不能修改，如有补充请新建补充记录")
    if is_new:
        _record_submission(tx, visit, by)
    missing = await _count_if_complete(tx, visit)
    return VisitReceipt(visit_id, visit.number, missing, is_new)


async def _check_owner(
    tx: Transaction,
    visit_id: UUID,
    by: Account,
) -> None:
    """Raise Rejected (404) for another inspector's visit."""
    if await store.belongs_to_another(tx, visit_id, by.id):
        raise Rejected("没有这份检查记录", status=404)


async def _find_or_add(
    tx: Transaction,
    visit_id: UUID,
    report: VisitReport,
    by: Account,
) -> tuple[Visit, bool]:
    """Return the visit, locked, and whether it was inserted now."""
    stored = await store.lock(tx, visit_id)
    if stored is not None:
        return stored, False
    new_visit = await checked_visit(tx, report, by=by)
    is_new = await store.add(tx, visit_id, new_visit)
    visit = await store.lock(tx, visit_id)
    assert visit is not None, "inserted here, or by the transaction that this one waited for"
    return visit, is_new


def _record_submission(
    tx: Transaction,
    visit: Visit,
    by: Account,
) -> None:
    tx.audit("visit.submitted", visit.id, str(by.id), number=visit.number, photos=len(visit.photos))
    delay_seconds = (tx.now - visit.visited_at).total_seconds()
    telemetry.visit_uploads.labels("visit").inc()
    telemetry.visit_delay_seconds.labels(visit.mode).observe(max(0.0, delay_seconds))


async def checked_visit(
    tx: Transaction,
    report: VisitReport,
    *,
    by: Account,
) -> NewVisit:
    """Return the visit that this report describes; write nothing. Raises Rejected (422)."""
    campaign = await campaigns.get(tx, report.campaign_id)
    campaign.unit(report.unit_id)
    _check_report(report, campaign.checklist, by, tx.now)
    findings = findings_of(campaign.checklist, report.items, report.findings)
    return NewVisit(
        campaign_id=report.campaign_id,
        unit_id=report.unit_id,
        mode=report.mode,
        inspector_id=by.id,
        visited_at=report.visited_at,
        device_at=report.device_at,
        received_at=tx.now,
        skew_seconds=skew_seconds(report.device_at, tx.now),
        latitude=report.latitude,
        longitude=report.longitude,
        accuracy_metres=report.accuracy_metres,
        place=report.place,
        items=report.items,
        findings=tuple(findings),
        remarks=report.remarks,
        photos=report.photos,
        digest=report.digest,
    )


def _check_report(
    report: VisitReport,
    checklist: Checklist,
    by: Account,
    now: datetime,
) -> None:
    may_backdate = by.role in (Role.OFFICE, Role.ADMIN)
    check_photos(report.photos)
    check_visited_at(report.visited_at, now, may_backdate=may_backdate)
    check_items(checklist, report.items, len(report.photos))


async def _count_after_photo(tx: Transaction, visit_id: UUID) -> None:
    visit = await store.lock(tx, visit_id)
    if visit is not None:
        await _count_if_complete(tx, visit)


async def _count_if_complete(tx: Transaction, visit: Visit) -> list[str]:
    """Let the visit count once no photo is missing; return the missing ones."""
    missing = await store.missing_photos(tx, visit.id, visit.photos)
    if not missing and await store.mark_counted(tx, visit.id):
        tx.publish(await _visit_submitted(tx, visit))
        telemetry.visit_uploads.labels("counted").inc()
    return missing


async def _visit_submitted(tx: Transaction, visit: Visit) -> VisitSubmitted:
    """Return the event of a visit: its day without the hour, no inspector, no personal data."""
    findings = [
        await _visit_finding(visit.id, position, finding)
        for position, finding in enumerate(visit.findings)
    ]
    return VisitSubmitted(
        occurred_at=tx.now,
        visit_id=visit.id,
        number=visit.number,
        campaign_id=visit.campaign_id,
        unit_id=visit.unit_id,
        mode=visit.mode,
        visited_on=visit.visited_at.astimezone(CHINA).date(),
        passed=passed_items(visit.items),
        findings=tuple(findings),
        photos=len(visit.photos),
    )


async def _visit_finding(
    visit_id: UUID,
    position: int,
    finding: ReportedFinding,
) -> VisitFinding:
    # Personal data is masked rather than rejected: the inspector may be offline and cannot rewrite.
    return VisitFinding(
        finding_id=finding_id(visit_id, position, finding.item_id),
        item_id=finding.item_id,
        severity=finding.severity,
        redacted_summary=await mask_pii_async(finding.summary),
    )
