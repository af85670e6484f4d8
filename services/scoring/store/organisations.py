"""机构名册: bodies with their names and successions, and what refers to them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from shared.appraisal.labels import (
    OrganisationKind,
    OrganisationLevel,
    OrganisationState,
    SuccessionKind,
)
from shared.appraisal.organisations import (
    Organisation,
    OrganisationName,
    OrganisationRegister,
    Successor,
)
from shared.foundation.grouping import group_by
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction

_ORGANISATIONS: Final = """
select id, official_code, kind, level, parent_id, aliases, state, ended_on from organisations
order by id
"""
_NAMES: Final = """
select organisation_id, name, valid_from from organisation_names order by organisation_id, position
"""
_SUCCESSIONS: Final = """
select predecessor_id, successor_id, kind, takes_over from organisation_successions
order by predecessor_id, successor_id
"""
_UPSERT: Final = """
insert into organisations (id, official_code, kind, level, parent_id, aliases, state, ended_on,
  recorded_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (id) do update set
  official_code = excluded.official_code, kind = excluded.kind, level = excluded.level,
  parent_id = excluded.parent_id, aliases = excluded.aliases, state = excluded.state,
  ended_on = excluded.ended_on
"""
# Names and successions are only ever added.
_INSERT_NAMES: Final = """
insert into organisation_names (organisation_id, position, name, valid_from)
select $1, n.position, n.name, n.valid_from
from unnest($2::text[], $3::date[]) with ordinality as n (name, valid_from, position)
on conflict do nothing
"""
_INSERT_SUCCESSIONS: Final = """
insert into organisation_successions (predecessor_id, successor_id, kind, takes_over)
select $1, * from unnest($2::text[], $3::text[], $4::bool[]) on conflict do nothing
"""
_USES: Final = """
select
  exists (select from outcomes where unit_id = $1) as outcomes,
  exists (select from tallies t join response_groups g on g.id = t.response_group_id
    where g.campaign_id = any($2)) as ballots,
  exists (select from ledger l join units u using (campaign_id, unit_no)
    where u.unit_id = $1 and l.campaign_id = any($2)) as entries
"""
_CAMPAIGNS_OF: Final = """
select distinct u.campaign_id from units u join campaigns c on c.id = u.campaign_id
where u.unit_id = any($1) and c.year >= $2 order by u.campaign_id
"""
_PARTICIPATIONS: Final = """
select c.id as campaign_id, c.title, c.year, u.unit_no, u.name
from units u join campaigns c on c.id = u.campaign_id
where u.unit_id = $1 order by c.year desc, c.published_at desc, c.id
"""
_DELETE_OF_UNIT: Final = """
delete from {table} s using units u
where u.unit_id = $1 and (s.campaign_id, s.unit_no) = (u.campaign_id, u.unit_no)
"""


async def lock_register(tx: Transaction) -> OrganisationRegister:
    """Return the register, which nobody else changes until the end of the transaction."""
    await tx.fetchval("select pg_advisory_xact_lock($1)", advisory_lock_key("organisations"))
    return await read_register(tx)


async def read_register(tx: Transaction) -> OrganisationRegister:
    """Return all bodies."""
    names = group_by(await tx.fetch(_NAMES), lambda row: str(row["organisation_id"]))
    successions = group_by(await tx.fetch(_SUCCESSIONS), lambda row: str(row["predecessor_id"]))
    rows = await tx.fetch(_ORGANISATIONS)
    organisations = (
        _organisation(row, names.get(row["id"], ()), successions.get(row["id"], ())) for row in rows
    )
    return OrganisationRegister.of(organisations)


def _organisation(
    row: asyncpg.Record,
    names: Sequence[asyncpg.Record],
    successions: Sequence[asyncpg.Record],
) -> Organisation:
    return Organisation(
        id=row["id"],
        names=tuple(_name(each) for each in names),
        kind=OrganisationKind(row["kind"]),
        level=OrganisationLevel(row["level"]),
        state=OrganisationState(row["state"]),
        aliases=tuple(row["aliases"]),
        official_code=row["official_code"],
        parent_id=row["parent_id"],
        ended_on=row["ended_on"],
        successors=tuple(_successor(each) for each in successions),
    )


def _name(row: asyncpg.Record) -> OrganisationName:
    return OrganisationName(name=row["name"], valid_from=row["valid_from"])


def _successor(row: asyncpg.Record) -> Successor:
    return Successor(
        organisation_id=row["successor_id"],
        kind=SuccessionKind(row["kind"]),
        takes_over=row["takes_over"],
    )


async def next_ids(tx: Transaction, count: int) -> list[str]:
    """Return ids that no body ever had, such as `D000123`. A rollback does not return them."""
    rows = await tx.fetch(
        "select nextval('organisation_ids') as number from generate_series(1, $1)", count
    )
    return [f"D{row['number']:06d}" for row in rows]


async def save_organisations(tx: Transaction, organisations: Iterable[Organisation]) -> None:
    """Insert or update bodies; a parent comes before those under it."""
    for organisation in organisations:
        await _save(tx, organisation)


async def _save(tx: Transaction, organisation: Organisation) -> None:
    await tx.run(
        _UPSERT,
        organisation.id,
        organisation.official_code,
        organisation.kind,
        organisation.level,
        organisation.parent_id,
        list(organisation.aliases),
        organisation.state,
        organisation.ended_on,
        tx.now,
    )
    await tx.run(
        _INSERT_NAMES,
        organisation.id,
        [each.name for each in organisation.names],
        [each.valid_from for each in organisation.names],
    )
    await tx.run(
        _INSERT_SUCCESSIONS,
        organisation.id,
        [each.organisation_id for each in organisation.successors],
        [each.kind for each in organisation.successors],
        [each.takes_over for each in organisation.successors],
    )


# ── what refers to a body ─────────────────────────────────────────────────────────────────────────


async def campaigns_of(
    tx: Transaction,
    ids: Collection[str],
    *,
    since_year: int = 0,
) -> list[str]:
    """Return the campaigns of that year or later in which one of these bodies takes part."""
    rows = await tx.fetch(_CAMPAIGNS_OF, list(ids), since_year)
    return [row["campaign_id"] for row in rows]


async def uses_of(
    tx: Transaction,
    id: str,
    campaign_ids: Sequence[str],
) -> list[str]:
    """Return in words what refers to a body that takes part in these campaigns.

    Once a campaign counts ballots, questionnaires with the unit's number are in circulation.
    """
    row = await tx.fetchrow(_USES, id, campaign_ids)
    assert row is not None, "a select without a from clause returns one row"
    words = {"outcomes": "往年结果", "ballots": "参评活动已计票", "entries": "计分台账"}
    return [word for column, word in words.items() if row[column]]


async def delete_enrolments(tx: Transaction, id: str) -> None:
    """Remove a body without data from its campaigns. Its numbers there are not used again."""
    for table in ("score_changes", "scores"):
        await tx.run(_DELETE_OF_UNIT.format(table=table), id)
    await tx.run("delete from units where unit_id = $1", id)


@dataclass(frozen=True, slots=True)
class Participation:
    """A campaign in which a body takes part, under the name that it has there."""

    campaign_id: str
    title: str
    year: int
    unit_no: int
    name: str


async def participations(tx: Transaction, id: str) -> list[Participation]:
    """Return where a body takes part, the newest campaign first."""
    rows = await tx.fetch(_PARTICIPATIONS, id)
    return [Participation(**row) for row in rows]
