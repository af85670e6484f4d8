"""The copy of the register of organisations that a service keeps (`known_organisations`)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.organisations import Organisation, OrganisationRegister
from shared.appraisal.schemes import CaseRules
from shared.storage.transaction import Transaction

_SAVE: Final = """
insert into known_organisations as k (id, version, body) values ($1, $2, $3)
on conflict (id) do update set version = excluded.version, body = excluded.body
where k.version < excluded.version
returning 1
"""
# Versions only grow, so that two states of the register never have the same sum.
_STATE: Final = "select count(*), coalesce(sum(version), 0)::bigint from known_organisations"

_LOCK_KEY: Final = "hashtextextended(current_schema() || '.known_organisations', 0)"

_decoder = msgspec.json.Decoder(Organisation)


def _empty_register() -> OrganisationRegister:
    return OrganisationRegister({})


@dataclass(slots=True)
class RegisterCache:
    """The parsed register of one process, in the state (count, sum of versions)."""

    state: tuple[int, int] = (0, 0)
    register: OrganisationRegister = field(default_factory=_empty_register)


async def save_organisation(
    tx: Transaction,
    event: OrganisationPublished,
    version: int,
) -> bool:
    """Store a published body; False for a version that is not newer than the stored one."""
    await tx.fetchval(f"select pg_advisory_xact_lock({_LOCK_KEY})")
    body = msgspec.json.encode(event.organisation)
    return await tx.fetchval(_SAVE, event.organisation.id, version, body) is not None


async def find_organisation(tx: Transaction, id: str) -> Organisation | None:
    """Return the body with this id as this service knows it."""
    body = await tx.fetchval("select body from known_organisations where id = $1", id)
    return _decoder.decode(body) if body is not None else None


async def active_organisation(
    tx: Transaction,
    id: str,
    *,
    field: str,
) -> Organisation:
    """Return a body that exists today, which cannot end before this transaction does.

    Raises Rejected (422) for every other id.
    """
    await tx.fetchval("select 1 from known_organisations where id = $1 for share", id)
    organisation = await find_organisation(tx, id)
    if organisation is None:
        raise Rejected("单位名册中没有这个单位，请先登记", status=422, field=field)
    if not organisation.is_active:
        sentence = f"“{organisation.name}”{organisation.state.label}，请选择在册的单位"
        raise Rejected(sentence, status=422, field=field)
    return organisation


async def hold_register(tx: Transaction) -> None:
    """Let nobody change the register until this transaction ends.

    What is derived from the register is stored under this lock. Whoever changes the register
    derives it again afterwards, and so misses nothing that was stored meanwhile. Take it before
    locks on rows.
    """
    await tx.fetchval(f"select pg_advisory_xact_lock_shared({_LOCK_KEY})")


async def known_register(tx: Transaction, cache: RegisterCache) -> OrganisationRegister:
    """Return the register as this service knows it, parsed again only after a change."""
    row = await tx.fetchrow(_STATE)
    assert row is not None, "an aggregate always returns a row"
    state = tuple(row)
    if cache.state != state:
        bodies = await tx.fetch("select body from known_organisations order by id")
        organisations = [_decoder.decode(body) for (body,) in bodies]
        cache.register = OrganisationRegister.of(organisations)
        cache.state = state
    return cache.register


async def excluded_bodies(
    tx: Transaction,
    cache: RegisterCache,
    accused_ids: Collection[str],
    rules: CaseRules,
) -> frozenset[str]:
    """回避: return the bodies that may neither handle nor see what accuses `accused_ids`."""
    if not accused_ids:
        return frozenset()
    register = await known_register(tx, cache)
    return register.excluded(accused_ids, ancestors=rules.not_by_superiors)
