"""Campaigns: created from a scheme, published again whenever rules or units change."""

from collections.abc import Sequence
from re import fullmatch
from typing import Any, Final

import msgspec

from services.scoring.actions.integrity import check_nothing_held
from services.scoring.actions.register import carry_out
from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.explanation import explain_unit
from services.scoring.domain.ledger import ScoreSource
from services.scoring.domain.register import UnitRow, campaign_unit, enrolled_units, plan_rows
from services.scoring.store import campaigns, organisations, rescores, scores
from services.scoring.store.inputs import load_inputs
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CampaignPublished, UnitEntry
from shared.appraisal.organisations import Organisation, OrganisationRegister
from shared.appraisal.schemes import (
    Scheme,
    SchemeError,
    check,
    load_scheme,
    read_scheme,
    scheme_ids,
)
from shared.security.policies import Account
from shared.storage.transaction import Transaction

CAMPAIGN_ID: Final = r"[A-Za-z0-9][A-Za-z0-9-]{0,39}"


async def create_campaign(
    tx: Transaction,
    *,
    scheme: Scheme,
    by: Account,
    campaign_id: str = "",
    title: str = "",
    units: Sequence[UnitRow] = (),
) -> Campaign:
    """Create and publish a campaign of the scheme's year; default id is `<scheme>-<year>`.

    Raises Rejected when the id is taken or malformed, or the scheme or a unit is invalid.
    """
    register = await organisations.lock_register(tx)
    id = campaign_id or f"{scheme.id}-{scheme.year}"
    _check_id(id)
    _check_scheme(scheme)
    default_title = f"{scheme.year} 年{scheme.name}"
    if not await campaigns.insert_campaign(tx, id=id, title=title or default_title, scheme=scheme):
        raise Rejected(f"评议活动 {id} 已经存在", field="campaign_id")
    await campaigns.create_partitions(tx, id)
    await campaigns.insert_scheme(tx, campaign_id=id, scheme=scheme, by=str(by.id))
    campaign = await campaigns.read_campaign(tx, id)
    await _enrol(tx, campaign, register, units, by=by)
    return await publish_campaign(tx, id, by=by, action="campaign.created")


def _check_id(id: str) -> None:
    if not fullmatch(CAMPAIGN_ID, id):
        raise Rejected(
            "活动编号只能用字母、数字和短横线，最多 40 个字符", status=422, field="campaign_id"
        )


async def replace_rules(
    tx: Transaction,
    *,
    campaign_id: str,
    scheme: Scheme,
    by: Account,
) -> Campaign:
    """Publish another version of the rules and rescore every unit; old scores stay explained.

    Raises Rejected when the scheme is invalid, of another year, or reuses a version number.
    """
    before = await lock_campaign(tx, campaign_id)
    await check_rules(tx, before, scheme)
    await store_explanations(tx, before)
    if not await campaigns.insert_scheme(tx, campaign_id=campaign_id, scheme=scheme, by=str(by.id)):
        raise Rejected(
            f"版本号 {scheme.version} 已经用过，修改规则须使用新的版本号", field="version"
        )
    return await publish_campaign(tx, campaign_id, by=by, action="campaign.rules_replaced")


async def check_rules(tx: Transaction, before: Campaign, scheme: Scheme) -> None:
    """Raise Rejected unless the scheme may replace the campaign's rules."""
    _check_scheme(scheme)
    _check_replacement(before, scheme)
    if scheme.fingerprint == before.scheme.fingerprint:
        raise Rejected("新规则与生效中的规则完全相同", status=422, field="rules")
    used = {version.version for version in await campaigns.scheme_versions(tx, before.id)}
    if scheme.version in used:
        raise Rejected(
            f"版本号 {scheme.version} 已经用过，修改规则须使用新的版本号", field="version"
        )


def _check_replacement(before: Campaign, scheme: Scheme) -> None:
    if scheme.year != before.year:
        raise Rejected("规则的年度与评议活动不一致", status=422)
    used = {unit.category for unit in before.units}
    if used - {category.key for category in scheme.categories}:
        raise Rejected("新规则缺少已有参评单位所属的类别", status=422)


async def enrol_units(
    tx: Transaction,
    campaign_id: str,
    rows: Sequence[UnitRow],
    *,
    by: Account,
    expected_digest: str | None = None,
) -> Campaign:
    """参评: enrol the bodies that the rows mean, or change their categories, and publish.

    Raises Rejected: 422 when a row is wrong; 409 when the rows no longer mean what
    `expected_digest` stands for.
    """
    register = await organisations.lock_register(tx)
    campaign = await lock_campaign(tx, campaign_id)
    await _enrol(tx, campaign, register, rows, by=by, expected_digest=expected_digest)
    return await publish_campaign(tx, campaign_id, by=by, action="campaign.units_enrolled")


async def _enrol(
    tx: Transaction,
    campaign: Campaign,
    register: OrganisationRegister,
    rows: Sequence[UnitRow],
    *,
    by: Account,
    expected_digest: str | None = None,
) -> None:
    plan = plan_rows(register, rows, campaign.scheme)
    plan.check_digest(expected_digest)
    enrolled = await carry_out(tx, plan, by=by)
    next_no = await campaigns.last_unit_no(tx, campaign.id) + 1
    units = enrolled_units(campaign, enrolled, next_no=next_no)
    await campaigns.upsert_units(tx, campaign.id, units)


async def refresh_units(
    tx: Transaction,
    organisation: Organisation,
    *,
    since_year: int,
    by: Account,
) -> None:
    """Give a body its names of today in the campaigns of that year and later, and publish these.

    Earlier campaigns keep the names under which they ran. The register is locked.
    """
    ids = await organisations.campaigns_of(tx, [organisation.id], since_year=since_year)
    for campaign_id in ids:
        campaign = await lock_campaign(tx, campaign_id)
        known = campaign.by_id[organisation.id]
        unit = campaign_unit(organisation, known.unit_no, known.category)
        if unit != known:
            await campaigns.upsert_units(tx, campaign_id, [unit])
            await publish_campaign(tx, campaign_id, by=by, action="campaign.unit_renamed")


async def show_to_units(
    tx: Transaction,
    *,
    campaign_id: str,
    shown: bool,
    by: Account,
) -> None:
    """Show or hide the running score of their own unit to unit heads.

    Raises Rejected (409) when it is to be shown and ballots are held.
    """
    await campaigns.get_campaign(tx, campaign_id)
    if shown:
        await check_nothing_held(tx, campaign_id)
    await campaigns.set_shown_to_units(tx, campaign_id, shown=shown)
    action = "campaign.shown_to_units" if shown else "campaign.hidden_from_units"
    tx.audit(action, campaign_id, str(by.id))


async def store_explanations(tx: Transaction, campaign: Campaign) -> None:
    """Store what explains every score under the rules that are about to be superseded."""
    version = campaign.scheme.version
    await scores.lock_scores(tx, campaign.id, version, campaign.by_no)
    inputs = await load_inputs(tx, campaign, campaign.by_no)
    for unit_no, known in inputs.items():
        explanation = explain_unit(known, unit_no)
        await scores.store_explanation(tx, campaign.id, version, explanation)


async def lock_campaign(tx: Transaction, campaign_id: str) -> Campaign:
    """Lock a campaign and read it. Raises Rejected (404) when there is none."""
    await campaigns.get_campaign(tx, campaign_id)
    await campaigns.lock_campaign(tx, campaign_id)
    return await campaigns.read_campaign(tx, campaign_id)


async def publish_campaign(
    tx: Transaction,
    campaign_id: str,
    *,
    by: Account,
    action: str,
) -> Campaign:
    """Publish the whole campaign and mark every unit to be scored under its rules."""
    await campaigns.increment_revision(tx, campaign_id)
    campaign = await campaigns.read_campaign(tx, campaign_id)
    await scores.insert_scores(tx, campaign_id, campaign.scheme.version)
    await rescores.mark_dirty(
        tx, campaign_id, shard=0, source=ScoreSource.RULES, unit_nos=campaign.by_no
    )
    tx.publish(_campaign_published(tx, campaign))
    tx.audit(
        action,
        campaign_id,
        str(by.id),
        revision=campaign.revision,
        rules=campaign.scheme.fingerprint,
        units=len(campaign.units),
    )
    return campaign


def _campaign_published(tx: Transaction, campaign: Campaign) -> CampaignPublished:
    return CampaignPublished(
        occurred_at=tx.now,
        campaign_id=campaign.id,
        title=campaign.title,
        year=campaign.year,
        scheme=campaign.scheme.to_json(),
        scheme_version=campaign.scheme.version,
        units=tuple(_unit_entry(unit) for unit in campaign.units),
    )


def _unit_entry(unit: CampaignUnit) -> UnitEntry:
    return UnitEntry(
        unit_id=unit.unit_id,
        unit_no=unit.unit_no,
        name=unit.name,
        category=unit.category,
        aliases=unit.aliases,
    )


# ── schemes ───────────────────────────────────────────────────────────────────────────────────────


def parse_scheme(text: str, year: int) -> Scheme:
    """Return the scheme of a YAML text. Raises Rejected (422) with the first mistake."""
    try:
        return read_scheme(text, year)
    except SchemeError as error:
        raise _invalid_scheme(error, "rules") from error


def shipped_scheme(id: str, year: int) -> Scheme:
    """Return a shipped scheme. Raises Rejected (422) for an unknown id."""
    if id.upper() not in scheme_ids():
        raise _unknown_scheme(id)
    try:
        return load_scheme(id.upper(), year)
    except SchemeError as error:
        raise _invalid_scheme(error, "rules") from error


def _unknown_scheme(id: str) -> Rejected:
    known = "、".join(scheme_ids())
    return Rejected(f"没有方案“{id}”，可用的有 {known}", status=422, field="scheme")


def scheme_from_json(content: dict[str, Any]) -> Scheme:
    """Return the scheme of a JSON document. Raises Rejected (422) when it is not one."""
    try:
        return msgspec.convert(content, Scheme)
    except msgspec.ValidationError as error:
        place = str(error).rpartition("$")[2].strip("`.") or "整体结构"
        raise Rejected(f"方案内容不完整或格式不对：{place}", status=422, field="scheme") from error


def _invalid_scheme(error: SchemeError, field: str) -> Rejected:
    return Rejected(f"{error.mistakes[0]}（共 {len(error.mistakes)} 处）", status=422, field=field)


def _check_scheme(scheme: Scheme) -> None:
    if violations := check(scheme):
        field, sentence = violations[0]
        raise Rejected(f"规则有 {len(violations)} 处需要更正：{sentence}", status=422, field=field)
