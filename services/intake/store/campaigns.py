"""Campaigns with their schemes and units, as scoring published them; parsed once and remembered by
the process.
"""

from dataclasses import dataclass, field
from typing import Final, cast

from shared.appraisal.errors import Rejected
from shared.appraisal.events import CampaignPublished, UnitEntry
from shared.appraisal.schemes import Checklist, Questionnaire, Scheme
from shared.foundation.clock import monotonic_seconds
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction
from shared.web.navigation import matches_search, search_terms

TRUSTED_SECONDS: Final = 2.0
"""So long a remembered campaign is used without asking the database whether there is a newer one.
"""
SUGGESTIONS_MAX: Final = 10


@dataclass(slots=True)
class KnownCampaign:
    """A campaign in memory."""

    id: str
    title: str
    year: int
    scheme: Scheme
    revision: int
    units: dict[str, UnitEntry]
    by_number: dict[int, UnitEntry]
    spellings: dict[str, str] = field(repr=False)
    checked_at: float = 0.0

    def unit(self, unit_id: str) -> UnitEntry:
        """The unit of that id. Raises Rejected (422)."""
        found = self.units.get(unit_id)
        if found is None:
            raise Rejected("本次评议没有这个单位，请从列表中选择", status=422, field="unit_id")
        return found

    def name_of(self, unit_id: str | None) -> str:
        """The unit's name; 未确定 when none was named."""
        found = self.units.get(unit_id or "")
        return found.name if found else "未确定"

    def search(self, typed: str) -> list[UnitEntry]:
        """Units found by 汉字, 全拼, 首字母, 编码 or an alias, the best first."""
        wanted = typed.strip().lower().replace("'", "")
        found = [
            unit
            for unit in self.units.values()
            if matches_search(wanted, self.spellings[unit.unit_id])
        ]
        found.sort(
            key=lambda unit: (
                not any(part.startswith(wanted) for part in self.spellings[unit.unit_id].split()),
                unit.unit_no,
            )
        )
        return found[:SUGGESTIONS_MAX]

    def problem(self, item: str) -> str:
        """Label of a problem item. Raises Rejected (422) when the catalogue has none such."""
        found = self.scheme.problem(item)
        if found is None:
            raise Rejected("问题目录里没有这一项，请从列表中选择", status=422, field="problem_item")
        return found.label

    def problem_label(self, item: str | None) -> str:
        """Label of a problem item, 未分类 when there is none."""
        found = self.scheme.problem(item) if item else None
        return found.label if found else "未分类"

    def questionnaire(self, key: str) -> Questionnaire:
        """The questionnaire of that key. Raises Rejected (422)."""
        found = self.scheme.instrument(key)
        if not isinstance(found, Questionnaire):
            raise Rejected("本次评议没有这份问卷", status=422, field="instrument")
        return found

    @property
    def checklist(self) -> Checklist:
        """The checklist of inspection visits. Raises Rejected (409) when the scheme has none."""
        if not self.scheme.checklists:
            raise Rejected("本次评议的方案没有检查表")
        return self.scheme.checklists[0]


async def keep(tx: Transaction, event: CampaignPublished, revision: int) -> None:
    """Keep a published campaign; a version that is not newer changes nothing."""
    changed = await tx.fetchval(
        """
        insert into campaigns as c (id, title, year, scheme, scheme_version, revision, published_at) values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (id) do update set title = excluded.title, year = excluded.year, scheme = excluded.scheme,
          scheme_version = excluded.scheme_version, revision = excluded.revision, published_at = excluded.published_at
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
    if changed:
        await _keep_units(tx, event)
        await _make_partition(tx, event.campaign_id)


async def _keep_units(tx: Transaction, event: CampaignPublished) -> None:
    units = event.units
    await tx.run("delete from units where campaign_id = $1", event.campaign_id)
    await tx.run(
        """
        insert into units (campaign_id, unit_id, unit_no, name, category, aliases)
        select $1, u.unit_id, u.unit_no, u.name, u.category, string_to_array(u.aliases, E'\\n')
        from unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[]) as u (unit_id, unit_no, name, category, aliases)
        """,
        event.campaign_id,
        [u.unit_id for u in units],
        [u.unit_no for u in units],
        [u.name for u in units],
        [u.category for u in units],
        ["\n".join(u.aliases) for u in units],
    )


async def _make_partition(tx: Transaction, campaign_id: str) -> None:
    """Give a campaign's ballots a table of their own, so that they can be archived together."""
    name = f"ballots_part_{advisory_lock_key('ballots', campaign_id) & 0xFFFFFFFFFFFF:012x}"
    literal = await tx.fetchval("select quote_literal($1)", campaign_id)
    await tx.run(
        f"create table if not exists {name} partition of ballots for values in ({literal})"
    )


async def find(tx: Transaction, campaign_id: str) -> KnownCampaign | None:
    """The campaign of that id, or None. From memory while it is fresh."""
    remembered = cast("KnownCampaign | None", tx.context.campaigns.get(campaign_id))
    if remembered and monotonic_seconds() - remembered.checked_at < TRUSTED_SECONDS:
        return remembered
    revision = await tx.fetchval("select revision from campaigns where id = $1", campaign_id)
    if revision is None:
        return None
    if remembered is None or remembered.revision != revision:
        remembered = await _load(tx, campaign_id)
        tx.context.campaigns[campaign_id] = remembered
    remembered.checked_at = monotonic_seconds()
    return remembered


async def get(tx: Transaction, campaign_id: str) -> KnownCampaign:
    """The campaign of that id. Raises Rejected (422)."""
    found = await find(tx, campaign_id)
    if found is None:
        raise Rejected("没有这个评议活动，或它还没有发布", status=422, field="campaign_id")
    return found


async def running(tx: Transaction) -> list[KnownCampaign]:
    """All campaigns, the one published last first."""
    ids = [
        row["id"]
        for row in await tx.fetch(
            "select id from campaigns order by year desc, published_at desc, id"
        )
    ]
    return [
        campaign for campaign in [await find(tx, campaign_id) for campaign_id in ids] if campaign
    ]


async def current(tx: Transaction) -> KnownCampaign | None:
    """The campaign that new complaints and visits belong to: the newest."""
    newest = await tx.fetchval(
        "select id from campaigns order by year desc, published_at desc, id limit 1"
    )
    return await find(tx, newest) if newest else None


async def _load(tx: Transaction, campaign_id: str) -> KnownCampaign:
    row = await tx.fetchrow(
        "select id, title, year, scheme, revision from campaigns where id = $1", campaign_id
    )
    assert row is not None, "its revision was just read in this transaction"
    listed = [
        UnitEntry(
            unit_id=u["unit_id"],
            unit_no=u["unit_no"],
            name=u["name"],
            category=u["category"],
            aliases=tuple(u["aliases"]),
        )
        for u in await tx.fetch(
            "select * from units where campaign_id = $1 order by unit_no", campaign_id
        )
    ]
    return KnownCampaign(
        row["id"],
        row["title"],
        row["year"],
        Scheme.from_json(row["scheme"]),
        row["revision"],
        {unit.unit_id: unit for unit in listed},
        {unit.unit_no: unit for unit in listed},
        {unit.unit_id: _spelling(unit) for unit in listed},
    )


def _spelling(unit: UnitEntry) -> str:
    return " ".join(
        [unit.unit_id.lower(), *(search_terms(name) for name in (unit.name, *unit.aliases))]
    )
