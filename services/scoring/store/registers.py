"""Campaigns with their rules and units, as one object read once per revision; response groups; partitions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction

CAMPAIGNS_KEPT = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of a campaign's register."""

    unit_no: int
    unit_id: str
    name: str
    category: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Campaign:
    """A campaign under its present rules, with its units and the small ids of its response groups."""

    id: str
    title: str
    year: int
    revision: int
    scheme: Scheme
    published_at: datetime
    shown_to_units_at: datetime | None
    units: tuple[Unit, ...]
    response_group_ids: Mapping[tuple[str, str], int]

    @cached_property
    def by_id(self) -> dict[str, Unit]:
        return {unit.unit_id: unit for unit in self.units}

    @cached_property
    def by_no(self) -> dict[int, Unit]:
        return {unit.unit_no: unit for unit in self.units}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Unit id → unit_no."""
        return {unit.unit_id: unit.unit_no for unit in self.units}

    @cached_property
    def response_groups(self) -> dict[int, tuple[str, str]]:
        """Response group id → (instrument, group)."""
        return {number: key for key, number in self.response_group_ids.items()}

    def in_category(self, key: str) -> list[Unit]:
        return [unit for unit in self.units if unit.category == key]


class CampaignCache:
    """Campaigns read before, by id, each as long as its revision is the newest."""

    def __init__(self) -> None:
        self._kept: dict[str, Campaign] = {}

    async def campaigns(self, tx: Transaction, ids: Collection[str]) -> dict[str, Campaign]:
        """Those of the campaigns that exist; one small question when nothing changed."""
        rows = await tx.fetch(
            "select id, revision, shown_to_units_at from campaigns where id = any($1)", list(ids)
        )
        found = {row["id"]: self._kept.get(row["id"]) for row in rows}
        for row in rows:
            known = found[row["id"]]
            if known is None or (known.revision, known.shown_to_units_at) != (
                row["revision"],
                row["shown_to_units_at"],
            ):
                found[row["id"]] = self._keep(await read_campaign(tx, row["id"]))
        return {key: campaign for key, campaign in found.items() if campaign is not None}

    async def campaign(self, tx: Transaction, id: str) -> Campaign | None:
        return (await self.campaigns(tx, [id])).get(id)

    def _keep(self, campaign: Campaign) -> Campaign:
        while len(self._kept) >= CAMPAIGNS_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[campaign.id] = campaign
        return campaign


async def read_campaign(tx: Transaction, id: str) -> Campaign:
    """The campaign as it is now, this transaction's own changes included."""
    row = await tx.fetchrow(
        "select c.*, s.body from campaigns c join schemes s on s.campaign_id = c.id and s.version = c.scheme_version where c.id = $1",
        id,
    )
    assert row, "asked for campaigns that exist"
    units = await tx.fetch(
        "select unit_no, unit_id, name, category, aliases from units where campaign_id = $1 order by unit_no",
        id,
    )
    response_groups = await tx.fetch(
        "select id, instrument, group_key from response_groups where campaign_id = $1", id
    )
    return Campaign(
        id=id,
        title=row["title"],
        year=row["year"],
        revision=row["revision"],
        scheme=Scheme.from_json(row["body"]),
        published_at=row["published_at"],
        shown_to_units_at=row["shown_to_units_at"],
        units=tuple(
            Unit(u["unit_no"], u["unit_id"], u["name"], u["category"], tuple(u["aliases"]))
            for u in units
        ),
        response_group_ids={(s["instrument"], s["group_key"]): s["id"] for s in response_groups},
    )


async def scheme_of(tx: Transaction, campaign_id: str, version: str) -> Scheme | None:
    """The rules of a version, present or past."""
    body = await tx.fetchval(
        "select body from schemes where campaign_id = $1 and version = $2", campaign_id, version
    )
    return Scheme.from_json(body) if body else None


async def versions(tx: Transaction, campaign_id: str) -> list[Any]:
    """version, fingerprint, published_at, published_by; newest first."""
    return await tx.fetch(
        "select version, fingerprint, published_at, published_by from schemes where campaign_id = $1 order by published_at desc",
        campaign_id,
    )


async def all_campaigns(tx: Transaction) -> list[Any]:
    """id, title, year, scheme_id, scheme_version, revision, published_at, shown_to_units_at, units;
    newest first.
    """
    return await tx.fetch(
        "select c.*, (select count(*) from units u where u.campaign_id = c.id) as units from campaigns c order by published_at desc, id"
    )


async def newest_campaign(tx: Transaction) -> str | None:
    """The campaign published first most lately, which pages without a campaign in their address are
    about.
    """
    return await tx.fetchval(  # type: ignore[no-any-return]
        "select id from campaigns order by year desc, published_at desc, id limit 1"
    )


async def lock_campaign(tx: Transaction, id: str) -> bool:
    """Hold the campaign's register until the end of the transaction; False when there is none."""
    return bool(await tx.fetchval("select true from campaigns where id = $1 for update", id))


async def insert_campaign(tx: Transaction, *, id: str, title: str, scheme: Scheme) -> bool:
    """False when a campaign of this id exists."""
    return bool(
        await tx.run(
            "insert into campaigns (id, title, year, scheme_id, scheme_version, revision, published_at) values ($1, $2, $3, $4, $5, 0, $6) "
            "on conflict (id) do nothing",
            id,
            title,
            scheme.year,
            scheme.id,
            scheme.version,
            tx.now,
        )
    )


async def insert_scheme(tx: Transaction, *, campaign_id: str, scheme: Scheme, by: str) -> bool:
    """Keep a version of the rules and make it the present one; False when this version number was
    used for other rules.
    """
    kept = await tx.fetchval(
        "insert into schemes (campaign_id, version, fingerprint, body, published_at, published_by) values ($1, $2, $3, $4, $5, $6) "
        "on conflict (campaign_id, version) do update set fingerprint = schemes.fingerprint returning fingerprint",
        campaign_id,
        scheme.version,
        scheme.fingerprint,
        scheme.to_json(),
        tx.now,
        by,
    )
    if kept != scheme.fingerprint:
        return False
    await tx.run(
        "update campaigns set scheme_version = $2, scheme_id = $3 where id = $1",
        campaign_id,
        scheme.version,
        scheme.id,
    )
    response_groups = [
        (questionnaire.key, group.key)
        for questionnaire in scheme.questionnaires
        for group in questionnaire.groups
    ]
    await tx.run(
        "insert into response_groups (campaign_id, instrument, group_key) select $1, * from unnest($2::text[], $3::text[]) on conflict do nothing",
        campaign_id,
        [one for one, _ in response_groups],
        [group for _, group in response_groups],
    )
    return True


async def next_revision(tx: Transaction, campaign_id: str) -> None:
    """Every copy in memory is old from the commit of this transaction on."""
    await tx.run("update campaigns set revision = revision + 1 where id = $1", campaign_id)


async def upsert_units(
    tx: Transaction, campaign_id: str, rows: Sequence[tuple[str, int, str, str, list[str]]]
) -> None:
    """Write (unit_id, unit_no, name, category, aliases); the number of a unit that is there stays."""
    if rows:
        ids, numbers, names, categories, aliases = zip(*rows, strict=True)
        await tx.run(
            "insert into units (campaign_id, unit_id, unit_no, name, category, aliases) "
            "select $1, i, n, m, c, string_to_array(a, E'\\x1f') from unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[]) "
            "as t (i, n, m, c, a) on conflict (campaign_id, unit_id) do update set "
            "name = excluded.name, category = excluded.category, aliases = excluded.aliases",
            campaign_id,
            ids,
            numbers,
            names,
            categories,
            ["\x1f".join(one) for one in aliases],
        )


async def open_scores(tx: Transaction, campaign_id: str, version: str) -> None:
    """Make a score row under this version for every unit that has none."""
    await tx.run(
        "insert into scores (campaign_id, unit_no, scheme_version, ranked, sample, untold) "
        "select campaign_id, unit_no, $2, false, 0, false from units where campaign_id = $1 on conflict do nothing",
        campaign_id,
        version,
    )


async def make_partitions(tx: Transaction, campaign_id: str) -> None:
    """Room of their own for the campaign's ballots and ledger. Attaching takes a weaker lock than
    creating in place.
    """
    suffix = campaign_id.lower().replace("-", "_")
    for table in ("ballots", "ledger"):
        name = f'"{table}_part_{suffix}"'
        if not await tx.fetchval("select to_regclass($1)", name):
            await tx.run(
                f"create table {name} (like {table} including defaults including constraints)"
            )
            await tx.run(
                f"alter table {table} attach partition {name} for values in ('{campaign_id}')"
            )


async def show_to_units(tx: Transaction, campaign_id: str, *, shown: bool) -> None:
    await tx.run(
        "update campaigns set shown_to_units_at = case when $2 then coalesce(shown_to_units_at, $3) end where id = $1",
        campaign_id,
        shown,
        tx.now,
    )
