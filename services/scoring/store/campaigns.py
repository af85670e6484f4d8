"""Campaigns with their rules, units, response groups and partitions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.scoring.domain.campaign import Campaign, CampaignUnit
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction

CACHE_SIZE: Final = 16
_PARTITIONED: Final = ("ballots", "ledger")
_ALIAS_SEPARATOR: Final = "\x1f"

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
insert into campaigns (id, title, year, scheme_id, scheme_version, revision, published_at)
values ($1, $2, $3, $4, $5, 0, $6) on conflict (id) do nothing
"""
_INSERT_SCHEME = """
insert into schemes (campaign_id, version, fingerprint, body, published_at, published_by)
values ($1, $2, $3, $4, $5, $6)
on conflict (campaign_id, version) do update set fingerprint = schemes.fingerprint
returning fingerprint
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


class CampaignCache:
    """The only source of campaigns for actions and views; each is reread when it changed."""

    def __init__(self) -> None:
        self._campaigns: dict[str, Campaign] = {}

    async def get(self, tx: Transaction, id: str) -> Campaign:
        """Return the campaign under its current rules. Raises Rejected (404) for an unknown id."""
        found = await self.get_many(tx, [id])
        if id not in found:
            raise Rejected("没有这个评议活动", status=404)
        return found[id]

    async def get_many(self, tx: Transaction, ids: Collection[str]) -> dict[str, Campaign]:
        """Return the campaigns that exist, by id; one short query when none changed."""
        rows = await tx.fetch(
            "select id, revision, shown_to_units_at from campaigns where id = any($1)", list(ids)
        )
        found: dict[str, Campaign] = {}
        for id, revision, shown_to_units_at in rows:
            cached = self._campaigns.get(id)
            if cached is None or _is_stale(cached, revision, shown_to_units_at):
                cached = self._store(await read_campaign(tx, id))
            found[id] = cached
        return found

    def _store(self, campaign: Campaign) -> Campaign:
        while len(self._campaigns) >= CACHE_SIZE:
            oldest = next(iter(self._campaigns))
            self._campaigns.pop(oldest)
        self._campaigns[campaign.id] = campaign
        return campaign


def _is_stale(campaign: Campaign, revision: int, shown_to_units_at: datetime | None) -> bool:
    return campaign.revision != revision or campaign.shown_to_units_at != shown_to_units_at


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


async def read_campaign(tx: Transaction, id: str) -> Campaign:
    """Read an existing campaign, including the changes of this transaction."""
    row = await tx.fetchrow(_CAMPAIGN, id)
    assert row, "only existing campaigns are read"
    units = await tx.fetch(_UNITS, id)
    groups = await tx.fetch(_RESPONSE_GROUPS, id)
    columns = dict(row)
    return Campaign(
        id=id,
        scheme=Scheme.from_json(columns.pop("body")),
        units=tuple(CampaignUnit(**{**unit, "aliases": tuple(unit["aliases"])}) for unit in units),
        response_group_ids={(instrument, group): id for id, instrument, group in groups},
        **columns,
    )


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


async def insert_campaign(tx: Transaction, *, id: str, title: str, scheme: Scheme) -> bool:
    """Insert a campaign. False when one of this id exists."""
    inserted = await tx.run(
        _INSERT_CAMPAIGN, id, title, scheme.year, scheme.id, scheme.version, tx.now
    )
    return bool(inserted)


async def insert_scheme(tx: Transaction, *, campaign_id: str, scheme: Scheme, by: str) -> bool:
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
    await tx.run(
        "update campaigns set scheme_version = $2, scheme_id = $3 where id = $1",
        campaign_id,
        scheme.version,
        scheme.id,
    )
    await _insert_response_groups(tx, campaign_id, scheme)
    return True


async def _insert_response_groups(tx: Transaction, campaign_id: str, scheme: Scheme) -> None:
    instruments: list[str] = []
    groups: list[str] = []
    for questionnaire in scheme.questionnaires:
        for group in questionnaire.groups:
            instruments.append(questionnaire.key)
            groups.append(group.key)
    await tx.run(_INSERT_RESPONSE_GROUPS, campaign_id, instruments, groups)


async def increment_revision(tx: Transaction, campaign_id: str) -> None:
    """Make every cached copy stale once this transaction commits."""
    await tx.run("update campaigns set revision = revision + 1 where id = $1", campaign_id)


async def upsert_units(tx: Transaction, campaign_id: str, units: Sequence[CampaignUnit]) -> None:
    """Insert or update units; the number of an existing unit stays."""
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
    """Create the campaign's partitions of ballots and ledger.

    Attaching takes a weaker lock than creating the partition in place.
    """
    suffix = campaign_id.lower().replace("-", "_")
    for table in _PARTITIONED:
        name = f'"{table}_part_{suffix}"'
        if not await tx.fetchval("select to_regclass($1)", name):
            await tx.run(
                f"create table {name} (like {table} including defaults including constraints)"
            )
            await tx.run(
                f"alter table {table} attach partition {name} for values in ('{campaign_id}')"
            )


async def set_shown_to_units(tx: Transaction, campaign_id: str, *, shown: bool) -> None:
    await tx.run(_SHOW_TO_UNITS, campaign_id, shown, tx.now)
