"""Campaigns with their schemes, and the units of their registers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Select, select
from sqlmodel import col

from services.casework.domain.campaigns import CampaignRules
from services.casework.store import context_of
from services.casework.tables import Campaign, RegisteredUnit
from shared.appraisal.events import CampaignPublished
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction

_VERSIONS: Final = select(col(Campaign.id), col(Campaign.published_at))


async def get(tx: Transaction, campaign_id: str) -> CampaignRules:
    """Return the campaign of a case. A foreign key guarantees that it exists."""
    return (await find(tx, [campaign_id]))[campaign_id]


async def find(tx: Transaction, ids: Sequence[str]) -> dict[str, CampaignRules]:
    """Return the campaigns with these ids that casework has received, by id."""
    return await _load_versions(tx, _VERSIONS.where(col(Campaign.id).in_(ids)))


async def find_all(tx: Transaction) -> dict[str, CampaignRules]:
    """Return every campaign, by id, the oldest first."""
    return await _load_versions(tx, _VERSIONS.order_by(col(Campaign.year), col(Campaign.id)))


async def _load_versions(
    tx: Transaction, statement: Select[str, datetime]
) -> dict[str, CampaignRules]:
    versions = await tx.rows(statement)
    return await load(tx, dict(map(tuple, versions)))


async def load(tx: Transaction, versions: Mapping[str, datetime]) -> dict[str, CampaignRules]:
    """Return campaigns in these versions, parsing only those that the cache lacks."""
    cache = context_of(tx).campaigns
    cached = {id: cache.get(id, published_at) for id, published_at in versions.items()}
    parsed = await _parse(tx, [id for id, campaign in cached.items() if campaign is None])
    found = {id: campaign or parsed.get(id) for id, campaign in cached.items()}
    return {id: campaign for id, campaign in found.items() if campaign is not None}


async def _parse(tx: Transaction, ids: Sequence[str]) -> dict[str, CampaignRules]:
    if not ids:
        return {}
    rows = await tx.scalars(
        select(Campaign).where(col(Campaign.id).in_(ids)).execution_options(populate_existing=True)
    )
    cache = context_of(tx).campaigns
    parsed = {}
    for row in rows:
        campaign = _rules(row)
        cache.put(row.id, row.published_at, campaign)
        parsed[row.id] = campaign
    return parsed


def _rules(row: Campaign) -> CampaignRules:
    scheme = Scheme.from_json(row.scheme)
    return CampaignRules(row.id, row.title, row.year, row.scheme_version, scheme)


_SAVE_CAMPAIGN: Final = """
insert into campaigns (id, title, year, scheme, scheme_version, published_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (id) do update set
  title = excluded.title, year = excluded.year, scheme = excluded.scheme,
  scheme_version = excluded.scheme_version, published_at = excluded.published_at
"""
_SAVE_UNITS: Final = """
insert into units (campaign_id, unit_id, unit_no, name, category, listed)
select $1, *, true from unnest($2::text[], $3::int[], $4::text[], $5::text[])
on conflict (campaign_id, unit_id) do update set
  unit_no = excluded.unit_no, name = excluded.name, category = excluded.category, listed = true
"""


async def save(tx: Transaction, event: CampaignPublished) -> None:
    """Insert or replace a campaign and its register of units."""
    await tx.run(
        _SAVE_CAMPAIGN,
        event.campaign_id,
        event.title,
        event.year,
        event.scheme,
        event.scheme_version,
        event.occurred_at,
    )
    await tx.run("update units set listed = false where campaign_id = $1", event.campaign_id)
    await tx.run(
        _SAVE_UNITS,
        event.campaign_id,
        [unit.unit_id for unit in event.units],
        [unit.unit_no for unit in event.units],
        [unit.name for unit in event.units],
        [unit.category for unit in event.units],
    )


# ── units ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class UnitChoice:
    """A unit as a form offers it: id and name."""

    unit_id: str
    name: str


async def units(tx: Transaction, campaign_id: str) -> list[UnitChoice]:
    """Return the units of a campaign's register, in its order."""
    rows = await tx.rows(
        select(col(RegisteredUnit.unit_id), col(RegisteredUnit.name))
        .where(col(RegisteredUnit.campaign_id) == campaign_id, col(RegisteredUnit.listed))
        .order_by(col(RegisteredUnit.unit_no))
    )
    return [UnitChoice(*tuple(row)) for row in rows]


async def is_listed(
    tx: Transaction,
    campaign_id: str,
    unit_id: str,
) -> bool:
    """Return whether the register lists the unit now."""
    unit = await tx.scalar(
        select(col(RegisteredUnit.unit_id)).where(
            col(RegisteredUnit.campaign_id) == campaign_id,
            col(RegisteredUnit.unit_id) == unit_id,
            col(RegisteredUnit.listed),
        )
    )
    return unit is not None
