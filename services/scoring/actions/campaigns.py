"""Campaigns: made from a scheme, filled with units, published whole, again whenever rules or units
change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import fullmatch, split
from typing import Any

import msgspec

from services.scoring import store
from services.scoring.actions.running import materials_of
from services.scoring.domain.explain import explain
from services.scoring.domain.score import score_unit
from services.scoring.store import registers
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CampaignPublished, UnitEntry
from shared.appraisal.imports import Table
from shared.appraisal.schemes import Scheme, check
from shared.storage.transaction import Transaction

CAMPAIGN_ID = r"[A-Za-z0-9][A-Za-z0-9-]{0,39}"
UNIT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "name": ("单位名称", "单位", "名称", "name"),
    "category": ("类别", "分类", "单位类别", "category"),
    "unit_id": ("单位编码", "编码", "代码", "unit_id"),
    "aliases": ("其他名称", "别名", "简称", "aliases"),
}
"""What the columns of a register file may be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """A unit as it is entered. `unit_id` "" lets the register give a code; `category`: key or label
    of the scheme's category.
    """

    name: str
    category: str
    unit_id: str = ""
    aliases: tuple[str, ...] = ()


async def campaign_of(tx: Transaction, campaign_id: str) -> store.Campaign:
    """The campaign under its present rules. Raises Rejected (404) when there is none."""
    campaign: store.Campaign | None = await tx.context.campaign_cache.campaign(tx, campaign_id)
    if campaign is None:
        raise Rejected("没有这个评议活动", status=404)
    return campaign


def unit_rows(table: Table) -> list[UnitRow]:
    """The rows of a register file. Columns by their names: 单位名称, 类别, and if there 单位编码,
    其他名称 (separated by 、 or ；).

    Raises Rejected (422) when the file has no column for the name or for the category.
    """
    at = {
        field: next((i for i, name in enumerate(table.columns) if name in names), None)
        for field, names in UNIT_COLUMNS.items()
    }
    if at["name"] is None or at["category"] is None:
        raise Rejected(
            "文件须有“单位名称”和“类别”两列，可另有“单位编码”“其他名称”", status=422, field="file"
        )

    def cell(cells: Sequence[str], field: str) -> str:
        place = at[field]
        return cells[place].strip() if place is not None and place < len(cells) else ""

    return [
        UnitRow(
            name=cell(cells, "name"),
            category=cell(cells, "category"),
            unit_id=cell(cells, "unit_id"),
            aliases=tuple(split(r"[、；;,，|]", cell(cells, "aliases"))),
        )
        for _, cells in table.rows
    ]


async def create_campaign(
    tx: Transaction,
    *,
    scheme: Scheme,
    by: str,
    campaign_id: str = "",
    title: str = "",
    units: Sequence[UnitRow] = (),
) -> store.Campaign:
    """Make and publish a campaign of this scheme's year; its id is `<scheme>-<year>` unless another
    is given.

    Raises Rejected when the id is taken or malformed, or when the scheme or a unit cannot be used.
    """
    id = campaign_id or f"{scheme.id}-{scheme.year}"
    if not fullmatch(CAMPAIGN_ID, id):
        raise Rejected(
            "活动编号只能用字母、数字和短横线，最多 40 个字符", status=422, field="campaign_id"
        )
    _refuse_faulty(scheme)
    if not await registers.insert_campaign(
        tx, id=id, title=title or f"{scheme.year} 年{scheme.name}", scheme=scheme
    ):
        raise Rejected(f"评议活动 {id} 已经存在", field="campaign_id")
    await registers.make_partitions(tx, id)
    await registers.insert_scheme(tx, campaign_id=id, scheme=scheme, by=by)
    await _enter_units(tx, await registers.read_campaign(tx, id), units)
    return await _publish(tx, id, by=by, what="campaign.created")


async def replace_rules(
    tx: Transaction, *, campaign_id: str, scheme: Scheme, by: str
) -> store.Campaign:
    """Publish another version of the rules; every score is computed again under it, the old ones
    keep their explanation.

    Raises Rejected when the scheme is faulty, of another year, or reuses a version number for other
    rules.
    """
    await campaign_of(tx, campaign_id)
    await registers.lock_campaign(tx, campaign_id)
    before = await registers.read_campaign(tx, campaign_id)
    _refuse_faulty(scheme)
    if scheme.year != before.year:
        raise Rejected("规则的年度与评议活动不一致", status=422)
    if {unit.category for unit in before.units} - {category.key for category in scheme.categories}:
        raise Rejected("新规则缺少已有参评单位所属的类别", status=422)
    if scheme.fingerprint == before.scheme.fingerprint:
        return before
    await keep_explanations(tx, before)
    if not await registers.insert_scheme(tx, campaign_id=campaign_id, scheme=scheme, by=by):
        raise Rejected(
            f"版本号 {scheme.version} 已经用过，修改规则须使用新的版本号", field="version"
        )
    return await _publish(tx, campaign_id, by=by, what="campaign.rules_replaced")


async def register_units(
    tx: Transaction, campaign_id: str, rows: Sequence[UnitRow], *, by: str
) -> store.Campaign:
    """Enter units, or change the names, categories and aliases of those there; publishes the
    campaign.

    A row is the same unit when its code is the same, or, without a code, when its name is. Raises
    Rejected when a row cannot be used.
    """
    await campaign_of(tx, campaign_id)
    await registers.lock_campaign(tx, campaign_id)
    await _enter_units(tx, await registers.read_campaign(tx, campaign_id), rows)
    return await _publish(tx, campaign_id, by=by, what="campaign.units_registered")


async def keep_explanations(tx: Transaction, campaign: store.Campaign) -> None:
    """Keep, for ever, what explains every score under the rules that are about to be superseded."""
    await store.lock_scores(tx, campaign.id, campaign.scheme.version, campaign.by_no)
    for unit_no, material in (await materials_of(tx, campaign, campaign.by_no)).items():
        kept = msgspec.json.encode(explain(material, score_unit(material, unit_no))).decode()
        await store.keep_explanation(tx, campaign.id, campaign.scheme.version, unit_no, kept)


async def record_outcomes(
    tx: Transaction, *, scheme_id: str, year: int, rows: Sequence[store.OutcomeRow], by: str
) -> int:
    """Enter final places of an earlier year: (unit_id, category, total, rank, from_bottom, grade).
    Gives how many.
    """
    await store.keep_outcomes(tx, [(scheme_id, year, *row) for row in rows])
    tx.audit("outcomes.recorded", f"{scheme_id}-{year}", by, units=len(rows))
    return len(rows)


def scheme_from_json(content: dict[str, Any]) -> Scheme:
    """The scheme that a JSON document says. Raises Rejected (422) when it is not one."""
    try:
        return msgspec.convert(content, Scheme)
    except msgspec.ValidationError as error:
        raise Rejected(
            f"方案内容不完整或格式不对：{str(error).rpartition('$')[2].strip('`.') or '整体结构'}",
            status=422,
            field="scheme",
        ) from error


async def show_to_units(tx: Transaction, *, campaign_id: str, shown: bool, by: str) -> None:
    """Let unit heads see the running score of their own unit, or no longer."""
    await campaign_of(tx, campaign_id)
    await registers.show_to_units(tx, campaign_id, shown=shown)
    tx.audit("campaign.shown_to_units" if shown else "campaign.hidden_from_units", campaign_id, by)


def _refuse_faulty(scheme: Scheme) -> None:
    if findings := check(scheme):
        raise Rejected(
            f"规则有 {len(findings)} 处需要更正：{findings[0][1]}", status=422, field=findings[0][0]
        )


async def _enter_units(tx: Transaction, campaign: store.Campaign, rows: Sequence[UnitRow]) -> None:
    by_name = {unit.name: unit.unit_id for unit in campaign.units}
    numbers, next_no = dict(campaign.numbers), max(campaign.by_no, default=0) + 1
    entered: dict[str, tuple[str, int, str, str, list[str]]] = {}
    for at, row in enumerate(rows, start=1):
        name, category = row.name.strip(), _category(campaign.scheme, row.category, at)
        unit_id = row.unit_id.strip() or by_name.get(name) or f"{category}-{next_no:03d}"
        if not name or by_name.setdefault(name, unit_id) != unit_id:
            raise Rejected(
                f"第 {at} 行：单位名称{'为空' if not name else f'“{name}”与其他单位重复'}",
                status=422,
            )
        if unit_id not in numbers:
            numbers[unit_id], next_no = next_no, next_no + 1
        entered[unit_id] = (
            unit_id,
            numbers[unit_id],
            name,
            category,
            [alias.strip() for alias in row.aliases if alias.strip()],
        )
    await registers.upsert_units(tx, campaign.id, list(entered.values()))


def _category(scheme: Scheme, text: str, at: int) -> str:
    wanted = text.strip()
    found = next((one.key for one in scheme.categories if wanted in (one.key, one.label)), None)
    if found is None:
        raise Rejected(
            f"第 {at} 行：没有“{wanted}”这个类别，应为 {'、'.join(one.label for one in scheme.categories)} 之一",
            status=422,
        )
    return found


async def _publish(tx: Transaction, campaign_id: str, *, by: str, what: str) -> store.Campaign:
    """Say the campaign as it now is, whole, and have every unit scored under its rules."""
    await registers.next_revision(tx, campaign_id)
    campaign = await registers.read_campaign(tx, campaign_id)
    await registers.open_scores(tx, campaign_id, campaign.scheme.version)
    await store.note_change(tx, campaign_id, shard=0, source="rules", unit_nos=list(campaign.by_no))
    entries = (
        UnitEntry(
            unit_id=one.unit_id,
            unit_no=one.unit_no,
            name=one.name,
            category=one.category,
            aliases=one.aliases,
        )
        for one in campaign.units
    )
    tx.publish(
        CampaignPublished(
            occurred_at=tx.now,
            campaign_id=campaign_id,
            title=campaign.title,
            year=campaign.year,
            scheme=campaign.scheme.to_json(),
            scheme_version=campaign.scheme.version,
            units=tuple(entries),
        )
    )
    tx.audit(
        what,
        campaign_id,
        by,
        revision=campaign.revision,
        rules=campaign.scheme.fingerprint,
        units=len(campaign.units),
    )
    return campaign
