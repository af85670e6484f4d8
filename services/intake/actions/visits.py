"""Taking photos and reports of inspection visits, in any order, any number of times."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from services.intake.domain.visits import (
    BACKDATE_MAX,
    PHOTOS_MAX,
    SKEW_MAX,
    Checked,
    Found,
    check_items,
    digest,
    finding_id,
    findings_of,
    passed,
    skew_seconds,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, files
from services.intake.store import visits as store
from shared.appraisal.errors import Rejected
from shared.appraisal.events import VisitFinding, VisitSubmitted
from shared.appraisal.labels import Role
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.security.pii import mask_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A visit as the inspector hands it in. `photos` are SHA-256 digests in hexadecimal."""

    campaign_id: str
    unit_id: str
    mode: Literal["announced", "covert"]
    visited_at: datetime
    device_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_metres: float | None = None
    place: str = ""
    items: tuple[Checked, ...]
    findings: tuple[Found, ...] = ()
    remarks: str = ""
    photos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the phone is told: delete the local copy only when the id is yours and nothing is
    missing.
    """

    id: UUID
    number: str
    missing: list[str] = field(default_factory=list)
    first: bool = False


async def store_photo(
    tx: Transaction, *, visit_id: UUID, sha256: str, body: bytes, by: Account
) -> bool:
    """Keep a photo of a visit, whose report may come before or after it. True: new; False: it is
    here already.

    Raises Rejected: 422 when the bytes are not those of `sha256`, 413, 415 or 422 for what is no
    usable picture, 404 for the visit of another inspector, 409 when the visit has its nine photos.
    """
    if hashlib.sha256(body).hexdigest() != sha256:
        raise Rejected("照片在传输中损坏，请重新上传", status=422, field="sha256")
    if await store.owner_differs(tx, visit_id, by.id):
        raise Rejected("没有这份检查记录", status=404)
    if await files.exists(tx, visit_id, bytes.fromhex(sha256)):
        return False
    if len(await files.list_for(tx, visit_id)) >= PHOTOS_MAX:
        raise Rejected(f"每份检查最多 {PHOTOS_MAX} 张照片")
    photo = await context_of(tx).files.write(new_id(), body)
    new = await files.add(tx, photo, subject="visit", subject_id=visit_id, by=by.id)
    if new:
        telemetry.visit_uploads.labels("photo").inc()
        tx.audit("visit.photo_received", visit_id, str(by.id), sha256=sha256, size=photo.size)
        await _count_if_whole(tx, visit_id)
    return new


async def submit_visit(tx: Transaction, visit_id: UUID, report: Report, *, by: Account) -> Accepted:
    """Take a visit's report. It counts as soon as all its photos are here; until then the answer
    names those missing.

    The same report again gives the same answer. Raises Rejected: 409 when another report came under
    this id, 404 for another inspector's visit, 422 for what cannot be.
    """
    if await store.owner_differs(tx, visit_id, by.id):
        raise Rejected("没有这份检查记录", status=404)
    content = digest(asdict(report))
    known = await store.locked(tx, visit_id)
    if known is None:
        values = await _checked(tx, report, by) | {"digest": content}
        first = await store.add(tx, visit_id, values) is not None
        known = await store.locked(tx, visit_id)
        assert known is not None, "it was just written, here or by the transaction we waited for"
        if first:
            tx.audit(
                "visit.submitted",
                visit_id,
                str(by.id),
                number=known["number"],
                photos=len(report.photos),
            )
            _measure(tx, report)
    else:
        first = False
    if known["digest"] != content:
        raise Rejected("这份检查已经提交，提交后不能修改，如有补充请新建补充记录")
    missing = await _count_if_whole(tx, visit_id, known)
    return Accepted(visit_id, known["number"], missing, first)


async def check_visit(tx: Transaction, report: Report, *, by: Account) -> None:
    """Would this visit be taken? Writes nothing. Raises Rejected (422)."""
    await _checked(tx, report, by)


async def _checked(tx: Transaction, report: Report, by: Account) -> dict[str, Any]:
    """The columns of a visit, once its report is found to be right."""
    campaign = await campaigns.get(tx, report.campaign_id)
    campaign.unit(report.unit_id)
    if len(report.photos) > PHOTOS_MAX or len(set(report.photos)) < len(report.photos):
        raise Rejected(f"每份检查最多 {PHOTOS_MAX} 张照片，不能重复", status=422, field="photos")
    if report.visited_at > tx.now + SKEW_MAX:
        raise Rejected("到访时间晚于现在，请核对手机时间", status=422, field="visited_at")
    if report.visited_at < tx.now - BACKDATE_MAX and by.role not in (Role.OFFICE, Role.ADMIN):
        raise Rejected(
            f"到访已超过 {BACKDATE_MAX.days} 天，请交评议办补录", status=422, field="visited_at"
        )
    check_items(campaign.checklist, report.items, len(report.photos))
    findings = findings_of(campaign.checklist, report.items, report.findings)
    return {
        "campaign_id": report.campaign_id,
        "unit_id": report.unit_id,
        "mode": report.mode,
        "inspector_id": by.id,
        "visited_at": report.visited_at,
        "device_at": report.device_at,
        "received_at": tx.now,
        "skew_seconds": skew_seconds(report.device_at, tx.now),
        "latitude": report.latitude,
        "longitude": report.longitude,
        "accuracy_metres": report.accuracy_metres,
        "place": report.place,
        "items": [asdict(item) for item in report.items],
        "findings": [asdict(found) for found in findings],
        "remarks": report.remarks,
        "photos": list(report.photos),
    }


def _measure(tx: Transaction, report: Report) -> None:
    telemetry.visit_uploads.labels("visit").inc()
    telemetry.visit_delay_seconds.labels(report.mode).observe(
        max(0.0, (tx.now - report.visited_at).total_seconds())
    )


async def _count_if_whole(tx: Transaction, visit_id: UUID, known: Any = None) -> list[str]:
    """Let the visit count once nothing is missing; gives what is missing."""
    visit = known or await store.locked(tx, visit_id)
    if visit is None:
        return []
    missing = await store.missing(tx, visit_id, visit["photos"])
    if not missing and await store.count(tx, visit_id):
        tx.publish(_fact(tx, visit))
        telemetry.visit_uploads.labels("counted").inc()
    return missing


def _fact(tx: Transaction, visit: Any) -> VisitSubmitted:
    """The visit as it travels: the day, not the hour; nothing of the inspector; texts without
    personal data.
    """
    items = [Checked(**item) for item in json.loads(visit["items_text"])]
    described = [Found(**found) for found in json.loads(visit["findings_text"])]
    findings = tuple(_finding(visit["id"], place, found) for place, found in enumerate(described))
    return VisitSubmitted(
        occurred_at=tx.now,
        visit_id=visit["id"],
        number=visit["number"],
        campaign_id=visit["campaign_id"],
        unit_id=visit["unit_id"],
        mode=visit["mode"],
        visited_on=visit["visited_at"].astimezone(CHINA).date(),
        passed=passed(items),
        findings=findings,
        photos=len(visit["photos"]),
    )


def _finding(visit_id: UUID, place: int, found: Found) -> VisitFinding:
    # Masked, not refused: who stands in a corridor without network cannot rewrite it now.
    told = mask_pii(found.summary)
    return VisitFinding(
        finding_id=finding_id(visit_id, place, found.item_id),
        item_id=found.item_id,
        severity=found.severity,
        redacted_summary=told,
    )


async def read_photo(tx: Transaction, file_id: UUID, *, by: Account) -> bytes | None:
    """The copy without metadata of a visit's photo, for its inspector and the appraisal office;
    None for anybody else.
    """
    photo = await files.find(tx, file_id)
    if photo is None or photo.subject != "visit" or not photo.derived:
        return None
    if by.role is not Role.OFFICE and photo.stored_by != by.id:
        return None
    return await context_of(tx).files.read(file_id, photo.sealed, "derived")
