"""Campaigns with their rules, units, response groups and partitions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.scoring.domain.campaign import Campaign, CampaignUnit
from shared.appraisal.campaigns import CampaignCache
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction

CampaignVersion = tuple[int, datetime | None]
"""(revision, shown_to_units_at)."""
_ALIAS_SEPARATOR: Final = "\x1f"

_VERSIONS = """
select id, revision, shown_to_units_at from campaigns where id = any($1)
"""
_CAMPAIGN = """
select c.title, c.year, c.revision, c.published_at, c.shown_to_units_at, s.body
from campaigns c join schemes s on s.campaign_id = c.id and s.version = c.scheme_version
where c.id = $1
"""
_UNITS = """
select unit_no, unit_id, name, category, aliases from units where campaign_id = $1 order by unit_no
"""
_RESPONSE_GROUPS = """
select id, instrument, group_key from response_groups where campaign_id = $1
"""
_CAMPAIGNS = """
select id, title, year, scheme_version,
  (select count(*) from units u where u.campaign_id = c.id) as units
from campaigns c order by published_at desc, id
"""
_SCHEME_VERSIONS = """
select version, fingerprint, published_at from schemes
where campaign_id = $1 order by published_at desc
"""
_INSERT_CAMPAIGN = """
insert into campaigns (id, title, year, scheme_id, scheme_version, revision, published_at,
  last_unit_no)
values ($1, $2, $3, $4, $5, 0, $6, 0) on conflict (id) do nothing
"""
_INSERT_SCHEME = """
with stored as (
  insert into schemes (campaign_id, version, fingerprint, body, published_at, published_by)
  values ($1, $2, $3, $4, $5, $6) on conflict (campaign_id, version) do nothing
  returning fingerprint
)
select fingerprint from stored
union all select fingerprint from schemes where campaign_id = $1 and version = $2
"""
_SET_SCHEME = """
update campaigns set scheme_version = $2, scheme_id = $3 where id = $1
"""
_INSERT_RESPONSE_GROUPS = """
insert into response_groups (campaign_id, instrument, group_key)
select $1, * from unnest($2::text[], $3::text[]) on conflict do nothing
"""
_UPSERT_UNITS = """
insert into units (campaign_id, unit_id, unit_no, name, category, aliases)
select $1, n.id, n.no, n.name, n.category, string_to_array(n.aliases, $7)
from unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[])
  as n (id, no, name, category, aliases)
on conflict (campaign_id, unit_id) do update
set name = excluded.name, category = excluded.category, aliases = excluded.aliases
"""
_SET_LAST_UNIT_NO = """
update campaigns set last_unit_no = greatest(last_unit_no, $2) where id = $1
"""
_SHOW_TO_UNITS = """
update campaigns set shown_to_units_at = case when $2 then coalesce(shown_to_units_at, $3) end
where id = $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSummary:
    """A campaign in a list. `units`: how many units it has."""

    id: str
    title: str
    year: int
    scheme_version: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeVersionSummary:
    """A version of a campaign's rules in a list."""

    version: str
    fingerprint: str
    published_at: datetime


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


async def get_campaign(tx: Transaction, id: str) -> Campaign:
    """Return the campaign under its current rules. Raises Rejected (404) for an unknown id."""
    found = await find_campaigns(tx, [id])
    if id not in found:
        raise Rejected("没有这个评议活动", status=404)
    return found[id]


async def find_campaigns(tx: Transaction, ids: Collection[str]) -> dict[str, Campaign]:
    """Return the campaigns that exist, by id; one short query when none changed."""
    rows = await tx.fetch(_VERSIONS, list(ids))
    return {id: await _in_version(tx, id, (revision, shown)) for id, revision, shown in rows}


async def _in_version(
    tx: Transaction,
    id: str,
    version: CampaignVersion,
) -> Campaign:
    cache: CampaignCache[Campaign] = tx.context.campaigns
    cached = cache.get(id, version)
    if cached is not None:
        return cached
    campaign = await read_campaign(tx, id)
    cache.put(id, (campaign.revision, campaign.shown_to_units_at), campaign)
    return campaign


async def read_campaign(tx: Transaction, id: str) -> Campaign:
    """Read an existing campaign, including the changes of this transaction."""
    row = await tx.fetchrow(_CAMPAIGN, id)
    assert row, "only existing campaigns are read"
    columns = dict(row)
    return Campaign(
        id=id,
        scheme=Scheme.from_json(columns.pop("body")),
        units=await _read_units(tx, id),
        response_group_ids=await _read_response_groups(tx, id),
        **columns,
    )


async def _read_units(tx: Transaction, campaign_id: str) -> tuple[CampaignUnit, ...]:
    rows = await tx.fetch(_UNITS, campaign_id)
    units = (
        CampaignUnit(
            unit_no=unit_no,
            unit_id=unit_id,
            name=name,
            category=category,
            aliases=tuple(aliases),
        )
        for unit_no, unit_id, name, category, aliases in rows
    )
    return tuple(units)


async def _read_response_groups(tx: Transaction, campaign_id: str) -> dict[tuple[str, str], int]:
    """(instrument, group) → id of the response group."""
    rows = await tx.fetch(_RESPONSE_GROUPS, campaign_id)
    return {(instrument, group): id for id, instrument, group in rows}


async def list_campaigns(tx: Transaction) -> list[CampaignSummary]:
    """Return all campaigns, newest first."""
    return [CampaignSummary(**row) for row in await tx.fetch(_CAMPAIGNS)]


async def newest_campaign(tx: Transaction) -> str | None:
    """Return the id of the newest campaign, which pages without a campaign in their URL show."""
    id: str | None = await tx.fetchval(
        "select id from campaigns order by year desc, published_at desc, id limit 1"
    )
    return id


async def scheme_versions(tx: Transaction, campaign_id: str) -> list[SchemeVersionSummary]:
    """Return the versions of a campaign's rules, newest first."""
    rows = await tx.fetch(_SCHEME_VERSIONS, campaign_id)
    return [SchemeVersionSummary(**row) for row in rows]


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


async def lock_campaign(tx: Transaction, id: str) -> None:
    """Lock the campaign until the end of the transaction."""
    await tx.fetchval("select true from campaigns where id = $1 for update", id)


async def insert_campaign(
    tx: Transaction,
    *,
    id: str,
    title: str,
    scheme: Scheme,
) -> bool:
    """Insert a campaign. False when one of this id exists."""
    inserted = await tx.run(
        _INSERT_CAMPAIGN, id, title, scheme.year, scheme.id, scheme.version, tx.now
    )
    return bool(inserted)


async def insert_scheme(
    tx: Transaction,
    *,
    campaign_id: str,
    scheme: Scheme,
    by: str,
) -> bool:
    """Store a version of the rules and make it the current one.

    False when other rules already use this version number.
    """
    stored = await tx.fetchval(
        _INSERT_SCHEME,
        campaign_id,
        scheme.version,
        scheme.fingerprint,
        scheme.to_json(),
        tx.now,
        by,
    )
    if stored != scheme.fingerprint:
        return False
    await tx.run(_SET_SCHEME, campaign_id, scheme.version, scheme.id)
    await _insert_response_groups(tx, campaign_id, scheme)
    return True


async def _insert_response_groups(
    tx: Transaction,
    campaign_id: str,
    scheme: Scheme,
) -> None:
    keys = [(one.key, group.key) for one in scheme.questionnaires for group in one.groups]
    instruments = [instrument for instrument, _ in keys]
    groups = [group for _, group in keys]
    await tx.run(_INSERT_RESPONSE_GROUPS, campaign_id, instruments, groups)


async def increment_revision(tx: Transaction, campaign_id: str) -> None:
    """Make every cached copy stale once this transaction commits."""
    await tx.run("update campaigns set revision = revision + 1 where id = $1", campaign_id)


async def last_unit_no(tx: Transaction, campaign_id: str) -> int:
    """Return the highest number that a unit of the campaign ever had."""
    number: int = await tx.fetchval("select last_unit_no from campaigns where id = $1", campaign_id)
    return number


async def upsert_units(
    tx: Transaction,
    campaign_id: str,
    units: Sequence[CampaignUnit],
) -> None:
    """Insert or update units; the number of an existing unit stays."""
    last_no = max((unit.unit_no for unit in units), default=0)
    await tx.run(_SET_LAST_UNIT_NO, campaign_id, last_no)
    await tx.run(
        _UPSERT_UNITS,
        campaign_id,
        [unit.unit_id for unit in units],
        [unit.unit_no for unit in units],
        [unit.name for unit in units],
        [unit.category for unit in units],
        [_ALIAS_SEPARATOR.join(unit.aliases) for unit in units],
        _ALIAS_SEPARATOR,
    )


async def create_partitions(tx: Transaction, campaign_id: str) -> None:
    """Create the campaign's partitions of ballots and ledger."""
    await tx.run("select create_campaign_partitions($1)", campaign_id)


async def set_shown_to_units(
    tx: Transaction,
    campaign_id: str,
    *,
    shown: bool,
) -> None:
    """Show the running scores to the units, or hide them; a second call changes nothing."""
    await tx.run(_SHOW_TO_UNITS, campaign_id, shown, tx.now)
