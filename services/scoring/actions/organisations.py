"""机构名册: record, correct, rename, move, merge, split and withdraw bodies.

Every act locks the whole register: acts are rare, and their rules look at all bodies.
"""

from collections.abc import Sequence
from datetime import date

from services.scoring.actions.campaigns import publish_campaign, refresh_units
from services.scoring.actions.register import carry_out, save_changed
from services.scoring.domain import organisations as rules
from services.scoring.domain.organisations import OrganisationDraft
from services.scoring.domain.register import UnitRow, plan_rows
from services.scoring.store import campaigns
from services.scoring.store import organisations as store
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.labels import OrganisationKind, OrganisationLevel
from shared.appraisal.organisations import Organisation
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def record_organisation(
    tx: Transaction,
    *,
    draft: OrganisationDraft,
    by: Account,
) -> Organisation:
    """登记: record a new body under an id of its own. Raises Rejected."""
    register = await store.lock_register(tx)
    (id,) = await store.next_ids(tx, 1)
    organisation = rules.new_organisation(register, id, draft)
    await save_changed(tx, [organisation], action="organisation.recorded", by=by)
    return organisation


async def record_organisations(
    tx: Transaction,
    *,
    rows: Sequence[UnitRow],
    by: Account,
    expected_digest: str | None = None,
) -> int:
    """导入: record the bodies of a file that the register lacks; return how many.

    Raises Rejected: 422, naming the lines, when any row is wrong; 409 when the rows no longer mean
    what `expected_digest` stands for.
    """
    register = await store.lock_register(tx)
    plan = plan_rows(register, rows)
    plan.check_digest(expected_digest)
    await carry_out(tx, plan, by=by)
    return plan.new_count


async def amend_organisation(
    tx: Transaction,
    *,
    organisation_id: str,
    kind: OrganisationKind,
    level: OrganisationLevel,
    official_code: str,
    aliases: Sequence[str],
    by: Account,
) -> Organisation:
    """更正登记信息. Raises Rejected."""
    register = await store.lock_register(tx)
    amended = rules.amend(
        register,
        rules.active(register, organisation_id),
        kind=kind,
        level=level,
        official_code=official_code,
        aliases=aliases,
    )
    await save_changed(tx, [amended], action="organisation.amended", by=by)
    await refresh_units(tx, amended, since_year=_today(tx).year, by=by)
    return amended


async def rename_organisation(
    tx: Transaction,
    *,
    organisation_id: str,
    name: str,
    valid_from: date,
    by: Account,
) -> Organisation:
    """更名, from a day on. Campaigns of that year and later show the new name. Raises Rejected."""
    register = await store.lock_register(tx)
    renamed = rules.rename(
        register,
        rules.active(register, organisation_id),
        name=name,
        valid_from=valid_from,
        today=_today(tx),
    )
    await save_changed(tx, [renamed], action="organisation.renamed", by=by)
    await refresh_units(tx, renamed, since_year=valid_from.year, by=by)
    return renamed


async def move_organisation(
    tx: Transaction,
    *,
    organisation_id: str,
    parent_id: str | None,
    by: Account,
) -> Organisation:
    """改设上级; None puts the body at the top. Raises Rejected."""
    register = await store.lock_register(tx)
    moved = rules.move(register, rules.active(register, organisation_id), parent_id)
    await save_changed(tx, [moved], action="organisation.moved", by=by)
    return moved


async def merge_organisations(
    tx: Transaction,
    *,
    organisation_ids: Sequence[str],
    into_id: str,
    on: date,
    by: Account,
) -> Organisation:
    """合并: end these bodies; the one they merge into takes over their open matters.

    Each keeps its place and its score in the campaigns in which it takes part. Raises Rejected.
    """
    register = await store.lock_register(tx)
    into = rules.active(register, into_id, field="into_id")
    merged = [rules.active(register, id) for id in dict.fromkeys(organisation_ids)]
    changed = rules.merge(register, merged, into, on=on, today=_today(tx))
    await save_changed(tx, changed, action="organisation.merged", by=by)
    return into


async def split_organisation(
    tx: Transaction,
    *,
    organisation_id: str,
    successor_ids: Sequence[str],
    heir_id: str,
    on: date,
    by: Account,
) -> Organisation:
    """分设: end a body; several follow it, and `heir_id` takes over its open matters.

    Raises Rejected.
    """
    register = await store.lock_register(tx)
    ended = rules.split(
        register,
        rules.active(register, organisation_id),
        [rules.active(register, id, field="successor_ids") for id in successor_ids],
        heir_id=heir_id,
        on=on,
        today=_today(tx),
    )
    await save_changed(tx, [ended], action="organisation.split", by=by)
    return ended


async def withdraw_organisation(
    tx: Transaction,
    *,
    organisation_id: str,
    by: Account,
) -> Organisation:
    """撤回登记 of a body entered by mistake: it leaves its campaigns, its accounts are disabled.

    Raises Rejected (409) as soon as a result, a counted ballot, a ledger entry or another body
    refers to it.
    """
    register = await store.lock_register(tx)
    organisation = rules.active(register, organisation_id)
    campaign_ids = await store.campaigns_of(tx, [organisation_id])
    for campaign_id in campaign_ids:
        await campaigns.lock_campaign(tx, campaign_id)
    uses = await store.uses_of(tx, organisation_id, campaign_ids)
    withdrawn = rules.withdraw(register, organisation, uses=uses)
    await store.delete_enrolments(tx, organisation_id)
    await save_changed(tx, [withdrawn], action="organisation.withdrawn", by=by)
    for campaign_id in campaign_ids:
        await publish_campaign(tx, campaign_id, by=by, action="campaign.unit_withdrawn")
    return withdrawn


def _today(tx: Transaction) -> date:
    return civil_day(tx.now)
