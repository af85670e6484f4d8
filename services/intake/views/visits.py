"""Recorded inspections, as the appraisal office reads them, and what the phones need offline."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.intake.domain.visits import SKEW_MAX, ItemResult
from services.intake.settings import context_of
from services.intake.store import campaigns, files
from services.intake.store import visits as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.files import FileRow
from services.intake.store.visits import Visit, VisitEntry
from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction

ITEM_TONES: Final = {
    ItemResult.PASS: "ok",
    ItemResult.FAIL: "over",
    ItemResult.NOT_APPLICABLE: "hold",
}


@dataclass(frozen=True, slots=True)
class VisitLine:
    """A line of the list of visits."""

    visit: VisitEntry
    unit_name: str

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
    return [VisitLine(entry, _unit_name(campaign, entry.unit_id)) for entry in entries]


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
    """A visit with its unit's name, its items, its photos and the number of missing photos."""

    visit: Visit
    unit_name: str
    items: list[ItemLine]
    photos: list[FileRow]
    missing: int


async def find(tx: Transaction, visit_id: UUID) -> VisitDetail | None:
    visit = await store.find(tx, visit_id)
    if visit is None:
        return None
    campaign = await campaigns.get(tx, visit.campaign_id)
    missing = await store.missing_photos(tx, visit_id, visit.photos)
    return VisitDetail(
        visit=visit,
        unit_name=campaign.name_of(visit.unit_id),
        items=_item_lines(campaign, visit),
        photos=await files.list_for(tx, visit_id),
        missing=len(missing),
    )


def _item_lines(campaign: KnownCampaign, visit: Visit) -> list[ItemLine]:
    labels = {item.id: item.label for item in campaign.checklist.items}
    return [
        ItemLine(labels.get(item.item_id, item.item_id), item.result, item.note)
        for item in visit.items
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
class FieldReference:
    """What a phone needs to record a visit without a network: no complaint, no person."""

    campaign_id: str
    title: str
    units: list[FieldUnit]
    items: list[FieldItem]
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
        account=user.id,
    )


def _field_units(campaign: KnownCampaign) -> list[FieldUnit]:
    return [
        FieldUnit(unit.unit_id, unit.name, campaign.spellings[unit.unit_id])
        for unit in campaign.units.values()
    ]
