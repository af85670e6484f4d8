"""Recorded inspections, as the appraisal office reads them, and what the phones need offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from services.intake.domain.visits import SKEW_MAX, CheckedItem, ItemResult, VisitContent
from services.intake.settings import context_of
from services.intake.store import campaigns, files, rounds
from services.intake.store import visits as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.files import FileRow
from services.intake.store.visits import Visit, VisitEntry
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.labels import Role, VisitMode
from shared.security.policies import Account
from shared.storage.transaction import Transaction

ITEM_TONES: Final = {
    ItemResult.PASS: "ok",
    ItemResult.FAIL: "over",
    ItemResult.NOT_APPLICABLE: "hold",
}


@dataclass(frozen=True, slots=True)
class VisitStatus:
    """How far a visit is on its way to the units."""

    tone: str
    label: str


def status_of(visit: Visit | VisitEntry) -> VisitStatus:
    """Return how far a visit is."""
    if visit.handed_over_at is not None:
        return VisitStatus("done", "已移交")
    if visit.registered_at is not None:
        return VisitStatus("ok", "等摘要放行")
    if visit.completed_at is not None:
        return VisitStatus("hold", "等轮次结束")
    return VisitStatus("warn", "等照片")


@dataclass(frozen=True, slots=True)
class VisitLine:
    """A line of the list of visits."""

    visit: VisitEntry
    unit_name: str
    status: VisitStatus

    @property
    def skew_minutes(self) -> int | None:
        """By how much the phone's clock was wrong, if that matters."""
        seconds = self.visit.skew_seconds
        if seconds is None or abs(seconds) <= SKEW_MAX.total_seconds():
            return None
        return round(seconds / 60)


async def list_recent(tx: Transaction) -> list[VisitLine]:
    """Return the visits of the last 30 days, newest first."""
    campaign = await campaigns.current(tx)
    entries = await store.list_recent(tx)
    return [
        VisitLine(entry, _unit_name(campaign, entry.unit_id), status_of(entry)) for entry in entries
    ]


def _unit_name(campaign: KnownCampaign | None, unit_id: str) -> str:
    return campaign.name_of(unit_id) if campaign else unit_id


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item of the checklist with its result."""

    label: str
    result: ItemResult
    note: str

    @property
    def tone(self) -> str:
        return ITEM_TONES[self.result]


@dataclass(frozen=True, slots=True)
class VisitDetail:
    """A visit with its unit's name, its round, what was written, its photos and the number of
    missing photos.
    """

    visit: Visit
    unit_name: str
    round_name: str
    content: VisitContent
    status: VisitStatus
    items: list[ItemLine]
    photos: list[FileRow]
    missing: int


async def find(tx: Transaction, visit_id: UUID, by: Account) -> VisitDetail | None:
    """Return a visit. Reading it, and where the inspector was, is recorded in the audit log."""
    visit = await store.find(tx, visit_id)
    if visit is None:
        return None
    tx.audit("visit.read", visit_id, str(by.id), number=visit.number)
    campaign = await campaigns.get(tx, visit.campaign_id)
    content = visit.content(context_of(tx).ring)
    chosen = await rounds.find(tx, visit.round_id) if visit.round_id else None
    missing = await store.missing_photos(tx, visit_id, visit.photos)
    return VisitDetail(
        visit=visit,
        unit_name=campaign.name_of(visit.unit_id),
        round_name=chosen.name if chosen else "",
        content=content,
        status=status_of(visit),
        items=_item_lines(campaign, content.items),
        photos=await files.list_for(tx, visit_id),
        missing=len(missing),
    )


def _item_lines(campaign: KnownCampaign, items: Sequence[CheckedItem]) -> list[ItemLine]:
    labels = {item.id: item.label for item in campaign.checklist.items}
    return [
        ItemLine(labels.get(item.item_id, item.item_id), item.result, item.note) for item in items
    ]


async def read_photo(
    tx: Transaction,
    file_id: UUID,
    *,
    by: Account,
) -> bytes | None:
    """Return the copy without metadata of a visit's photo, for its inspector and the appraisal
    office; None for anybody else.
    """
    photo = await files.find(tx, file_id)
    if photo is None or not _may_read(photo, by):
        return None
    return await context_of(tx).files.read(file_id, photo.sealed, "derived")


def _may_read(photo: FileRow, by: Account) -> bool:
    is_visit_photo = photo.subject == "visit" and photo.derived
    return is_visit_photo and (by.role is Role.OFFICE or photo.stored_by == by.id)


@dataclass(frozen=True, slots=True)
class FieldUnit:
    """A unit that a phone offers. `search` holds its spellings, separated by spaces."""

    id: str
    name: str
    search: str


@dataclass(frozen=True, slots=True)
class FieldItem:
    id: str
    label: str


@dataclass(frozen=True, slots=True)
class FieldRound:
    """A round that a phone offers. No units: all of the campaign."""

    id: UUID
    name: str
    mode: VisitMode
    begins_on: date
    ends_on: date
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldReference:
    """What a phone needs to record a visit without a network: no complaint, no person."""

    campaign_id: str
    title: str
    units: list[FieldUnit]
    items: list[FieldItem]
    rounds: list[FieldRound]
    account: UUID


async def field_reference(tx: Transaction, user: Account) -> FieldReference | None:
    """Return the reference data of the current campaign, or None without a campaign."""
    campaign = await campaigns.current(tx)
    if campaign is None:
        return None
    return FieldReference(
        campaign_id=campaign.id,
        title=campaign.title,
        units=_field_units(campaign),
        items=[FieldItem(item.id, item.label) for item in campaign.checklist.items],
        rounds=await _field_rounds(tx, campaign, user),
        account=user.id,
    )


async def _field_rounds(
    tx: Transaction,
    campaign: KnownCampaign,
    user: Account,
) -> list[FieldRound]:
    today = civil_day(tx.now)
    own = await rounds.of_inspector(tx, user.id, campaign_id=campaign.id, today=today)
    return [
        FieldRound(each.id, each.name, each.mode, each.begins_on, each.ends_on, each.units)
        for each in own
    ]


def _field_units(campaign: KnownCampaign) -> list[FieldUnit]:
    return [
        FieldUnit(unit.unit_id, unit.name, campaign.spellings[unit.unit_id])
        for unit in campaign.units.values()
    ]
