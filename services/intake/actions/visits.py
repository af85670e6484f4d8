"""Accept the photos and the report of a visit, in any order and any number of times."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from services.intake.actions import hand_over
from services.intake.domain.rounds import check_visit
from services.intake.domain.visits import (
    NUMBER_DIGITS,
    PHOTOS_MAX,
    ReportedFinding,
    VisitContent,
    VisitReport,
    check_items,
    check_photos,
    check_visited_at,
    finding_id,
    finding_number,
    findings_of,
    skew_seconds,
    visit_number,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, files, findings, rounds
from services.intake.store import visits as store
from services.intake.store.encrypted_files import Upload, prepare_upload
from services.intake.store.findings import NewFinding
from services.intake.store.visits import NewVisit, Visit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Checklist
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.security.keyring import KeyRing
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

BACKDATING_ROLES: Final = (Role.OFFICE, Role.ADMIN)
_random: Final = secrets.SystemRandom()


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
    await _complete_after_photo(tx, visit_id)
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
    """Store the report of a visit. The visit is complete once all its photos are stored; until then
    the receipt names those missing. `hand_over` says when it counts.

    The same report sent again returns the same receipt. Raises Rejected: 409 for another report
    under this id, 404 for another inspector's visit, 422 for an invalid report.
    """
    await _check_owner(tx, visit_id, by)
    visit, is_new = await _find_or_add(tx, visit_id, report, by)
    if visit.digest != report.digest:
        raise Rejected("这份检查已经提交，提交后不能修改，如有补充请新建补充记录")
    if is_new:
        _record_submission(tx, visit, by)
    missing = await _complete_if_possible(tx, visit)
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
    is_new = await _add(tx, visit_id, report, new_visit)
    visit = await store.lock(tx, visit_id)
    if visit is None:
        raise Rejected("没有存成，请重试", status=503)
    return visit, is_new


async def _add(
    tx: Transaction,
    visit_id: UUID,
    report: VisitReport,
    new_visit: NewVisit,
) -> bool:
    """Insert a visit with its findings; return False if it is stored already."""
    ring = context_of(tx).ring
    year = report.visited_at.astimezone(CHINA).year
    number = visit_number(year, _random.randrange(10**NUMBER_DIGITS))
    content = VisitContent(report.place, report.items, report.remarks)
    sealed = store.seal_content(ring, visit_id, content)
    is_new = await store.add(tx, visit_id, new_visit, number=number, sealed=sealed)
    if is_new:
        campaign = await campaigns.get(tx, report.campaign_id)
        described = findings_of(campaign.checklist, report.items, report.findings)
        await findings.add(tx, _new_findings(ring, visit_id, number, described))
    return is_new


def _new_findings(
    ring: KeyRing,
    visit_id: UUID,
    number: str,
    described: Sequence[ReportedFinding],
) -> list[NewFinding]:
    ids = [finding_id(visit_id, position, one.item_id) for position, one in enumerate(described)]
    return [
        NewFinding(
            id=id,
            visit_id=visit_id,
            position=position,
            number=finding_number(number, position),
            item_id=one.item_id,
            severity=one.severity,
            sealed=findings.seal_original(ring, id, one.summary),
        )
        for position, (id, one) in enumerate(zip(ids, described, strict=True))
    ]


def _record_submission(
    tx: Transaction,
    visit: Visit,
    by: Account,
) -> None:
    tx.audit("visit.submitted", visit.id, str(by.id), number=visit.number, photos=len(visit.photos))
    delay_seconds = (tx.now - visit.visited_at).total_seconds()
    telemetry.visit_uploads.labels("visit").inc()
    telemetry.visit_delay_seconds.observe(max(0.0, delay_seconds))


async def checked_visit(
    tx: Transaction,
    report: VisitReport,
    *,
    by: Account,
) -> NewVisit:
    """Return the visit that this report describes; write nothing. Raises Rejected (422)."""
    campaign = await campaigns.get(tx, report.campaign_id)
    campaign.unit(report.unit_id)
    await _check_round(tx, report, by)
    _check_report(report, campaign.checklist, by, tx.now)
    findings_of(campaign.checklist, report.items, report.findings)
    return NewVisit(
        campaign_id=report.campaign_id,
        round_id=report.round_id,
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
        photos=report.photos,
        digest=report.digest,
    )


async def _check_round(tx: Transaction, report: VisitReport, by: Account) -> None:
    """Raise Rejected (422) for a round of another team, or one that the visit does not fit."""
    chosen = await rounds.find(tx, report.round_id) if report.round_id else None
    is_other = chosen is None or chosen.campaign_id != report.campaign_id
    is_member = by.role is Role.OFFICE or (chosen is not None and by.id in chosen.team)
    if report.round_id is not None and (is_other or not is_member):
        raise Rejected("没有这个检查轮次，或您不在其中", status=422, field="round_id")
    check_visit(
        chosen,
        unit_id=report.unit_id,
        mode=report.mode,
        visited_at=report.visited_at,
        by_office=by.role in BACKDATING_ROLES,
    )


def _check_report(
    report: VisitReport,
    checklist: Checklist,
    by: Account,
    now: datetime,
) -> None:
    may_backdate = by.role in BACKDATING_ROLES
    check_photos(report.photos)
    check_visited_at(report.visited_at, now, may_backdate=may_backdate)
    check_items(checklist, report.items, len(report.photos))


async def _complete_after_photo(tx: Transaction, visit_id: UUID) -> None:
    visit = await store.lock(tx, visit_id)
    if visit is not None:
        await _complete_if_possible(tx, visit)


async def _complete_if_possible(tx: Transaction, visit: Visit) -> list[str]:
    """Let the visit go on once no photo is missing; return the missing ones."""
    missing = await store.missing_photos(tx, visit.id, visit.photos)
    if not missing and await store.mark_complete(tx, visit.id):
        telemetry.visit_uploads.labels("complete").inc()
        await hand_over.advance(tx, visit.batch_id)
    return missing
