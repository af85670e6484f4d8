"""Campaigns with their schemes and units, as scoring published them."""

from dataclasses import dataclass, field
from typing import Final

import asyncpg

from shared.appraisal.campaigns import CampaignCache
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CampaignPublished, UnitEntry
from shared.appraisal.schemes import Checklist, Questionnaire, Scheme
from shared.storage.transaction import Transaction
from shared.web.navigation import matches_search, search_terms

TRUSTED_SECONDS: Final = 2.0
"""How long a cached campaign is used before the database is asked for a newer revision."""
SUGGESTIONS_MAX: Final = 10
_NEWEST_FIRST: Final = "select id from campaigns order by year desc, published_at desc, id"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCampaign:
    """A campaign with its parsed scheme and its units."""

    id: str
    title: str
    year: int
    scheme: Scheme
    revision: int
    units: dict[str, UnitEntry]
    by_number: dict[int, UnitEntry]
    spellings: dict[str, str] = field(repr=False)

    def unit(self, unit_id: str) -> UnitEntry:
        """Return the unit with that id. Raises Rejected (422)."""
        unit = self.units.get(unit_id)
        if unit is None:
            raise Rejected("本次评议没有这个单位，请从列表中选择", status=422, field="unit_id")
        return unit

    def unit_named(self, name: str) -> UnitEntry:
        """Return the only unit with that id, name or alias. Raises Rejected (422)."""
        units = self.units.values()
        found = [unit for unit in units if name in (unit.name, unit.unit_id, *unit.aliases)]
        if not found:
            raise Rejected("本次评议没有这个单位", status=422, field="unit")
        if len(found) > 1:
            raise Rejected("有几个单位用这个名称", status=422, field="unit")
        return found[0]

    def name_of(self, unit_id: str | None) -> str:
        """Return the unit's name, or 未确定 if there is no such unit."""
        unit = self.units.get(unit_id or "")
        return unit.name if unit else "未确定"

    def search(self, typed: str) -> list[UnitEntry]:
        """Return units that match by 汉字, 全拼, 首字母, 编码 or alias, the best first."""
        term = typed.strip().lower().replace("'", "")
        units = self.units.values()
        found = [unit for unit in units if matches_search(term, self.spellings[unit.unit_id])]
        ranked = sorted(found, key=lambda unit: self._rank(unit, term))
        return ranked[:SUGGESTIONS_MAX]

    def _rank(self, unit: UnitEntry, term: str) -> tuple[bool, int]:
        spellings = self.spellings[unit.unit_id].split()
        is_prefix = any(spelling.startswith(term) for spelling in spellings)
        return not is_prefix, unit.unit_no

    def problem(self, item: str) -> str:
        """Return the label of a problem item. Raises Rejected (422) if the catalogue lacks it."""
        found = self.scheme.problem(item)
        if found is None:
            raise Rejected("问题目录里没有这一项，请从列表中选择", status=422, field="problem_item")
        return found.label

    def problem_label(self, item: str | None) -> str:
        """Return the label of a problem item, or 未分类 if there is none."""
        found = self.scheme.problem(item) if item else None
        return found.label if found else "未分类"

    def questionnaire(self, key: str) -> Questionnaire:
        """Return the questionnaire with that key. Raises Rejected (422)."""
        found = self.scheme.instrument(key)
        if not isinstance(found, Questionnaire):
            raise Rejected("本次评议没有这份问卷", status=422, field="instrument")
        return found

    @property
    def checklist(self) -> Checklist:
        """The checklist of inspections. Raises Rejected (409) if the scheme has none."""
        if not self.scheme.checklists:
            raise Rejected("本次评议的方案没有检查表")
        return self.scheme.checklists[0]


def new_cache() -> CampaignCache[KnownCampaign]:
    """Return an empty cache for one process."""
    return CampaignCache(trusted_seconds=TRUSTED_SECONDS)


async def find(tx: Transaction, campaign_id: str) -> KnownCampaign | None:
    """Return the campaign with that id, from the cache while it is trusted, or None."""
    cache: CampaignCache[KnownCampaign] = tx.context.campaigns
    recent = cache.recent(campaign_id)
    if recent is not None:
        return recent
    revision = await tx.fetchval("select revision from campaigns where id = $1", campaign_id)
    if revision is None:
        return None
    campaign = cache.get(campaign_id, revision) or await _load(tx, campaign_id)
    cache.put(campaign_id, campaign.revision, campaign)
    return campaign


async def get(tx: Transaction, campaign_id: str) -> KnownCampaign:
    """Return the campaign with that id. Raises Rejected (422)."""
    campaign = await find(tx, campaign_id)
    if campaign is None:
        raise Rejected("没有这个评议活动，或它还没有发布", status=422, field="campaign_id")
    return campaign


async def list_all(tx: Transaction) -> list[KnownCampaign]:
    """Return all campaigns, the newest first."""
    records = await tx.fetch(_NEWEST_FIRST)
    campaigns = [await find(tx, record["id"]) for record in records]
    return [campaign for campaign in campaigns if campaign]


async def current(tx: Transaction) -> KnownCampaign | None:
    """Return the campaign that new complaints and visits belong to: the newest."""
    newest = await tx.fetchval(f"{_NEWEST_FIRST} limit 1")
    return await find(tx, newest) if newest else None


async def _load(tx: Transaction, campaign_id: str) -> KnownCampaign:
    campaign = await tx.fetchrow(
        "select id, title, year, scheme, revision from campaigns where id = $1", campaign_id
    )
    assert campaign is not None, "its revision was just read in this transaction"
    units = await _load_units(tx, campaign_id)
    return KnownCampaign(
        id=campaign["id"],
        title=campaign["title"],
        year=campaign["year"],
        scheme=Scheme.from_json(campaign["scheme"]),
        revision=campaign["revision"],
        units={unit.unit_id: unit for unit in units},
        by_number={unit.unit_no: unit for unit in units},
        spellings={unit.unit_id: _spellings(unit) for unit in units},
    )


async def _load_units(tx: Transaction, campaign_id: str) -> list[UnitEntry]:
    records = await tx.fetch(
        """
        select unit_id, unit_no, name, category, aliases from units
        where campaign_id = $1 order by unit_no
        """,
        campaign_id,
    )
    return [_unit_entry(record) for record in records]


def _unit_entry(record: asyncpg.Record) -> UnitEntry:
    return UnitEntry(
        unit_id=record["unit_id"],
        unit_no=record["unit_no"],
        name=record["name"],
        category=record["category"],
        aliases=tuple(record["aliases"]),
    )


def _spellings(unit: UnitEntry) -> str:
    names = [search_terms(name) for name in (unit.name, *unit.aliases)]
    return " ".join([unit.unit_id.lower(), *names])


# ── publication ───────────────────────────────────────────────────────────────────────────────────


async def save(
    tx: Transaction,
    event: CampaignPublished,
    revision: int,
) -> None:
    """Store a published campaign; a revision that is not newer changes nothing."""
    if await _upsert(tx, event, revision):
        await _replace_units(tx, event)
        await _create_partition(tx, event.campaign_id)


async def _upsert(
    tx: Transaction,
    event: CampaignPublished,
    revision: int,
) -> bool:
    changed = await tx.fetchval(
        """
        insert into campaigns as c (id, title, year, scheme, scheme_version, revision, published_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (id) do update set
          title = excluded.title, year = excluded.year, scheme = excluded.scheme,
          scheme_version = excluded.scheme_version, revision = excluded.revision,
          published_at = excluded.published_at
        where c.revision < excluded.revision returning 1
        """,
        event.campaign_id,
        event.title,
        event.year,
        event.scheme,
        event.scheme_version,
        revision,
        event.occurred_at,
    )
    return changed is not None


async def _replace_units(tx: Transaction, event: CampaignPublished) -> None:
    await tx.run("delete from units where campaign_id = $1", event.campaign_id)
    rows = [_unit_columns(event.campaign_id, unit) for unit in event.units]
    await tx.copy("units", _UNIT_COLUMNS, rows)


_UNIT_COLUMNS: Final = ("campaign_id", "unit_id", "unit_no", "name", "category", "aliases")


def _unit_columns(campaign_id: str, unit: UnitEntry) -> tuple[object, ...]:
    return (
        campaign_id,
        unit.unit_id,
        unit.unit_no,
        unit.name,
        unit.category,
        list(unit.aliases),
    )


async def _create_partition(tx: Transaction, campaign_id: str) -> None:
    """Give a campaign's ballots their own table, so that they can be archived together."""
    await tx.run("select create_campaign_partitions($1)", campaign_id)
