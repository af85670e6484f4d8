"""Rules for the report of a visit, and the findings that follow from it."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import LabelledEnum, Severity, VisitMode
from shared.appraisal.schemes import Checklist

NOTE_MIN: Final = 5
PHOTOS_MAX: Final = 9
SKEW_MAX: Final = timedelta(minutes=10)
"""A larger difference of the phone's clock is shown to the reviewer; the visit is accepted."""
BACKDATE_MAX: Final = timedelta(days=30)
NUMBER_DIGITS: Final = 8
FINDING_NUMBER: Final = re.compile(r"XC\d{4}-\d{8}-\d+")


class ItemResult(LabelledEnum):
    """The result of one item of the checklist."""

    PASS = "pass", "符合"
    FAIL = "fail", "不符合"
    NOT_APPLICABLE = "na", "不适用"


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item of the checklist as filled in."""

    item_id: str
    result: ItemResult
    note: str = ""


@dataclass(frozen=True, slots=True)
class VisitContent:
    """What the inspector wrote at the place."""

    place: str
    items: tuple[CheckedItem, ...]
    remarks: str


@dataclass(frozen=True, slots=True)
class ReportedFinding:
    """A problem with an item of the checklist, as the inspector described it."""

    item_id: str
    severity: Severity
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitReport:
    """A visit as the inspector submits it. `photos` are SHA-256 digests in hexadecimal.

    `round_id`: the inspection round that it belongs to.
    """

    campaign_id: str
    round_id: UUID | None = None
    unit_id: str
    mode: VisitMode
    visited_at: datetime
    device_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_metres: float | None = None
    place: str = ""
    items: tuple[CheckedItem, ...]
    findings: tuple[ReportedFinding, ...] = ()
    remarks: str = ""
    photos: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the content: a report that is sent again must not differ."""
        content = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(content).digest()


def check_photos(photos: Sequence[str]) -> None:
    """Raise Rejected (422) for too many photos or the same one twice."""
    if len(photos) > PHOTOS_MAX or len(set(photos)) < len(photos):
        raise Rejected(f"每份检查最多 {PHOTOS_MAX} 张照片，不能重复", status=422, field="photos")


def check_visited_at(
    visited_at: datetime,
    now: datetime,
    *,
    may_backdate: bool,
) -> None:
    """Raise Rejected (422) for a visit in the future or, without `may_backdate`, long ago."""
    if visited_at > now + SKEW_MAX:
        raise Rejected("到访时间晚于现在，请核对手机时间", status=422, field="visited_at")
    if visited_at < now - BACKDATE_MAX and not may_backdate:
        sentence = f"到访已超过 {BACKDATE_MAX.days} 天，请交评议办补录"
        raise Rejected(sentence, status=422, field="visited_at")


def check_items(
    checklist: Checklist,
    items: Sequence[CheckedItem],
    photos: int,
) -> None:
    """Raise Rejected (422) unless each item is answered once, each 不符合 with a note or photo."""
    labels = _labels(checklist)
    _check_item_ids(labels, [item.item_id for item in items])
    for item in items:
        is_explained = len(item.note.strip()) >= NOTE_MIN or photos
        if item.result == ItemResult.FAIL and not is_explained:
            label = labels[item.item_id]
            raise _invalid_items(f"“{label}”不符合，请写明情况（至少 {NOTE_MIN} 个字）或附照片")


def _check_item_ids(labels: dict[str, str], given: Sequence[str]) -> None:
    for unknown in sorted(set(given) - labels.keys()):
        raise _invalid_items(f"检查表没有编号为 {unknown} 的项目")
    if len(set(given)) < len(given):
        raise _invalid_items("同一检查项目填了两次")
    for missing in labels.keys() - set(given):
        raise _invalid_items(f"“{labels[missing]}”还没有填写")


def _labels(checklist: Checklist) -> dict[str, str]:
    return {item.id: item.label for item in checklist.items}


def _invalid_items(sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field="items")


def findings_of(
    checklist: Checklist,
    items: Sequence[CheckedItem],
    described: Sequence[ReportedFinding],
) -> list[ReportedFinding]:
    """Return a finding for every 不符合: as the inspector described it, or an ordinary one with the
    note. Raises Rejected (422) for a description of an item that did not fail.
    """
    failed = {item.item_id: item for item in items if item.result == ItemResult.FAIL}
    described_ids = {finding.item_id for finding in described}
    _check_described(described, failed)
    labels = _labels(checklist)
    undescribed = [item for item_id, item in failed.items() if item_id not in described_ids]
    from_notes = [_finding_from_note(item, labels[item.item_id]) for item in undescribed]
    return [*described, *from_notes]


def _check_described(described: Sequence[ReportedFinding], failed: Collection[str]) -> None:
    for finding in described:
        if finding.item_id not in failed:
            sentence = f"发现的问题对应的项目 {finding.item_id} 没有选“不符合”"
            raise Rejected(sentence, status=422, field="findings")


def _finding_from_note(item: CheckedItem, label: str) -> ReportedFinding:
    summary = item.note.strip() or f"{label}：不符合（见照片）"
    return ReportedFinding(item.item_id, Severity.ORDINARY, summary)


def passed_items(items: Sequence[CheckedItem]) -> tuple[str, ...]:
    """Return the ids of the items found in order."""
    return tuple(sorted(item.item_id for item in items if item.result == ItemResult.PASS))


def finding_id(
    visit_id: UUID,
    position: int,
    item_id: str,
) -> UUID:
    """Return the id of a finding: the same visit always yields the same ids."""
    return uuid5(visit_id, f"{position}/{item_id}")


def visit_number(year: int, digits: int) -> str:
    """Return the number of a visit, such as `XC2026-48120573`.

    Its digits are random: numbers in a row would show when visits are made that nobody may know.
    """
    return f"XC{year}-{digits:0{NUMBER_DIGITS}d}"


def finding_number(visit: str, position: int) -> str:
    """Return the number of a finding, such as `XC2026-48120573-1`."""
    return f"{visit}-{position + 1}"


def skew_seconds(device_at: datetime | None, now: datetime) -> int | None:
    """Return by how much the phone's clock is ahead (+) or behind (-)."""
    return round((device_at - now).total_seconds()) if device_at else None
