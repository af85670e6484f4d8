"""Reference data of other services: units, obligations, urgent cases, score baselines."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from services.notify.domain.composition import ReferenceData
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.organisations import Organisation
from shared.storage.transaction import Transaction

_INSERT_UNITS: Final = """
insert into units (id, name, state) select *, 'active' from unnest($1::text[], $2::text[])
on conflict (id) do nothing
"""
_UPSERT_UNIT: Final = """
insert into units (id, name, state, heir_id)
values ($1, $2, $3, coalesce((select u.heir_id from units u where u.id = $4), $4))
on conflict (id) do update set
  name = excluded.name, state = excluded.state, heir_id = excluded.heir_id
returning heir_id
"""
_FORWARD_HEIRS: Final = "update units set heir_id = $2 where heir_id = $1"


async def insert_units(tx: Transaction, names: Mapping[str, str]) -> None:
    """Insert the units whose organisations have not arrived yet; the others keep their name."""
    await tx.run(_INSERT_UNITS, list(names), list(names.values()))


async def upsert_unit(tx: Transaction, organisation: Organisation) -> None:
    """Store the current name of an organisation, and who took over its open matters."""
    heir_id = await tx.fetchval(
        _UPSERT_UNIT,
        organisation.id,
        organisation.name,
        organisation.state,
        organisation.heir_id,
    )
    if heir_id is not None:
        await tx.run(_FORWARD_HEIRS, organisation.id, heir_id)


_UPSERT_OBLIGATIONS: Final = """
insert into obligations (campaign_id, id, label)
select $1, * from unnest($2::text[], $3::text[])
on conflict (campaign_id, id) do update set label = excluded.label
"""


async def upsert_obligations(
    tx: Transaction,
    campaign_id: str,
    labels: Mapping[str, str],
) -> None:
    await tx.run(_UPSERT_OBLIGATIONS, campaign_id, list(labels), list(labels.values()))


async def unit_names(tx: Transaction) -> dict[str, str]:
    """Return the names of the units that exist today by id, in the order of the names."""
    rows = await tx.fetch("select id, name from units where state = 'active' order by name")
    return {row["id"]: row["name"] for row in rows}


async def unit_exists(tx: Transaction, unit_id: str) -> bool:
    """Return whether the unit exists today."""
    exists: bool = await tx.fetchval(
        "select exists (select from units where id = $1 and state = 'active')", unit_id
    )
    return exists


# ── reference data of a batch ─────────────────────────────────────────────────────────────────────

_LOAD_REFERENCE: Final = """
with inserted as (
  insert into cases (id, urgency) select * from unnest($1::uuid[], $2::text[])
  on conflict (id) do nothing
), newest_templates as (
  select distinct on (kind) kind, text from templates order by kind, version desc
)
select
  (select json_object_agg(id, name)::text from units where id = any($3::text[])) as units,
  (select array_agg(id) from cases where id = any($4::uuid[]) and urgency = 'critical') as critical,
  (select json_agg(json_build_array(campaign_id, id, label))::text
   from obligations where campaign_id = any($5::text[])) as obligations,
  (select json_object_agg(kind, text)::text from newest_templates) as texts
"""


async def load_reference(
    tx: Transaction,
    calendar: WorkCalendar,
    *,
    units: Collection[str],
    cases: Collection[UUID] = (),
    campaigns: Collection[str] = (),
    new_urgencies: Mapping[UUID, str] | None = None,
) -> ReferenceData:
    """Store the urgency of new cases and return the reference data, in one statement."""
    urgencies = new_urgencies or {}
    row = await tx.fetchrow(
        _LOAD_REFERENCE,
        list(urgencies),
        list(urgencies.values()),
        list(units),
        list(cases),
        list(campaigns),
    )
    assert row is not None, "a select without a from clause returns one row"
    # The statement does not see the rows that it inserts.
    new_critical = {case for case in cases if urgencies.get(case) == "critical"}
    return _decode_reference(calendar, row, new_critical)


def _decode_reference(
    calendar: WorkCalendar,
    row: asyncpg.Record,
    new_critical: set[UUID],
) -> ReferenceData:
    known_critical = frozenset(row["critical"] or ())
    return ReferenceData(
        calendar,
        units=_decode_names(row["units"]),
        obligations=_decode_obligations(row["obligations"]),
        critical_cases=known_critical | new_critical,
        texts=_decode_names(row["texts"]),
    )


def _decode_names(document: str | None) -> dict[str, str]:
    return msgspec.json.decode(document or "{}", type=dict[str, str])


def _decode_obligations(document: str | None) -> dict[tuple[str, str], str]:
    rows = msgspec.json.decode(document or "[]", type=list[tuple[str, str, str]])
    return {(campaign_id, rule_id): label for campaign_id, rule_id, label in rows}


# ── score baselines ───────────────────────────────────────────────────────────────────────────────


class UnitInCampaign(NamedTuple):
    """The key of a score baseline."""

    campaign_id: str
    unit_id: str


_LOCK_BASELINES: Final = """
select b.campaign_id, b.unit_id, b.total
from score_baselines b
join unnest($1::text[], $2::text[]) k (campaign_id, unit_id) using (campaign_id, unit_id)
order by b.campaign_id, b.unit_id for update of b
"""


async def lock_score_baselines(
    tx: Transaction, keys: Collection[UnitInCampaign]
) -> dict[UnitInCampaign, Decimal]:
    """Return the existing baselines of `keys`, locked in key order."""
    rows = await tx.fetch(
        _LOCK_BASELINES,
        [key.campaign_id for key in keys],
        [key.unit_id for key in keys],
    )
    return {UnitInCampaign(row["campaign_id"], row["unit_id"]): row["total"] for row in rows}


_UPSERT_BASELINES: Final = """
insert into score_baselines (campaign_id, unit_id, total)
select * from unnest($1::text[], $2::text[], $3::numeric[])
on conflict (campaign_id, unit_id) do update set total = excluded.total
"""


async def upsert_score_baselines(
    tx: Transaction, baselines: Mapping[UnitInCampaign, Decimal]
) -> None:
    await tx.run(
        _UPSERT_BASELINES,
        [key.campaign_id for key in baselines],
        [key.unit_id for key in baselines],
        list(baselines.values()),
    )
