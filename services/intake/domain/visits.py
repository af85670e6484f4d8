"""What an inspection visit must say, and what of it becomes a finding."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid5

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Severity
from shared.appraisal.schemes import Checklist

NOTE_MIN: Final = 5
PHOTOS_MAX: Final = 9
SKEW_MAX: Final = timedelta(minutes=10)
"""A phone's clock that is further off is shown to the reviewer; the visit is taken all the same."""
BACKDATE_MAX: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Checked:
    """One line of the checklist as filled in."""

    item_id: str
    result: Literal["pass", "fail", "na"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A problem that the inspector describes; without a checklist item it stands for none of them."""

    item_id: str
    severity: Severity
    summary: str


def check_items(checklist: Checklist, items: Sequence[Checked], photos: int) -> None:
    """Raise Rejected (422) unless every item is answered once and each 不符合 has a note or a photo."""
    known = {item.id: item.label for item in checklist.items}
    given = [item.item_id for item in items]
    for unknown in sorted(set(given) - known.keys()):
        raise Rejected(f"检查表没有编号为 {unknown} 的项目", status=422, field="items")
    if len(set(given)) < len(given):
        raise Rejected("同一检查项目填了两次", status=422, field="items")
    for missing in known.keys() - set(given):
        raise Rejected(f"“{known[missing]}”还没有填写", status=422, field="items")
    for item in items:
        if item.result == "fail" and len(item.note.strip()) < NOTE_MIN and not photos:
            raise Rejected(
                f"“{known[item.item_id]}”不符合，请写明情况（至少 {NOTE_MIN} 个字）或附照片",
                status=422,
                field="items",
            )


def findings_of(
    checklist: Checklist, items: Sequence[Checked], described: Sequence[Found]
) -> list[Found]:
    """Every 不符合 is a finding: as the inspector described it, or as an ordinary one with the
    note.
    """
    failed = [item for item in items if item.result == "fail"]
    for found in described:
        if found.item_id not in {item.item_id for item in failed}:
            raise Rejected(
                f"发现的问题对应的项目 {found.item_id} 没有选“不符合”", status=422, field="findings"
            )
    told = {found.item_id for found in described}
    labels = {item.id: item.label for item in checklist.items}
    silent = [
        Found(
            item.item_id,
            Severity.ORDINARY,
            item.note.strip() or f"{labels[item.item_id]}：不符合（见照片）",
        )
        for item in failed
    ]
    return [*described, *(found for found in silent if found.item_id not in told)]


def passed(items: Sequence[Checked]) -> tuple[str, ...]:
    """Ids of the items found in order."""
    return tuple(sorted(item.item_id for item in items if item.result == "pass"))


def finding_id(visit_id: UUID, place: int, item_id: str) -> UUID:
    """The same finding of the same visit has the same id, however often it is sent."""
    return uuid5(visit_id, f"{place}/{item_id}")


def digest(content: object) -> bytes:
    """SHA-256 of what a visit says: sent again it must be the same, since what was handed in is not
    changed any more.
    """
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).digest()


def skew_seconds(device_at: datetime | None, now: datetime) -> int | None:
    """By how much the phone's clock is ahead (+) or behind (-)."""
    return round((device_at - now).total_seconds()) if device_at else None
