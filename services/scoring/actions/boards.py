"""What people and programs look at: boards, rankings, explanations. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from services.scoring import store
from services.scoring.actions.campaigns import campaign_of
from services.scoring.actions.running import materials_of, scores_of, standing_of
from services.scoring.domain.explain import Explanation, explain, for_the_unit, in_words
from services.scoring.domain.rank import (
    Earlier,
    Finding,
    Outcome,
    Place,
    Standing,
    consequences,
    rank_units,
)
from services.scoring.domain.score import Material, Score, rounded, score_unit
from services.scoring.store import Campaign, Unit
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Category
from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction

EVENTS_NAMED = 3
SILENT = ("case_opened", "case_assigned", "visit")
"""Measures that say nothing beside the others of the same movement."""
_explanations = msgspec.json.Decoder(Explanation)


def as_json(content: object) -> bytes:
    """Structures with dates, decimals (as text: no digit is lost), ids and dataclasses as JSON
    bytes.
    """
    return msgspec.json.encode(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A unit on a board. `score` None: never scored. `total_before`, `rank_before`: at the end of
    yesterday, when that differs.
    """

    unit: Unit
    place: Place
    score: Score | None
    findings: tuple[Finding, ...]
    moved_since_yesterday: bool = False
    total_before: Decimal | None = None
    rank_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The units of one category in their order, those without a rank after them."""

    campaign: Campaign
    category: Category
    rows: tuple[Row, ...]

    @property
    def ranked(self) -> list[Row]:
        return [row for row in self.rows if row.place.rank is not None]

    @property
    def apart(self) -> list[Row]:
        return [row for row in self.rows if row.place.rank is None]

    @property
    def moved(self) -> int:
        return sum(row.moved_since_yesterday for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One unit's score with all it comes from. `current`: under the rules in force; otherwise as it
    was kept under older ones.
    """

    campaign: Campaign
    unit: Unit
    explanation: Explanation
    place: Place | None
    findings: tuple[Finding, ...] = ()
    current: bool = True
    units_in_category: int = field(default=0)


async def boards_of(tx: Transaction, campaign: Campaign, category: str = "") -> list[Board]:
    """Board of one category, or of all, as committed now. Raises Rejected (404) for a category that
    the scheme does not have.
    """
    if category and campaign.scheme.category(category) is None:
        raise Rejected("没有这个类别", status=404)
    wanted = [one for one in campaign.scheme.categories if category in ("", one.key)]
    scores = scores_of(await store.bodies(tx, campaign.id, campaign.scheme.version))
    before = await store.state_on(tx, campaign.id, campaign.scheme.version, yesterday(tx.now))
    earlier = await _earlier(tx, campaign)
    return [_board(campaign, one, scores, before, earlier) for one in wanted]


def yesterday(now: datetime) -> date:
    """The civil day before the one of `now`."""
    return now.astimezone(CHINA).date() - timedelta(days=1)


async def _earlier(tx: Transaction, campaign: Campaign) -> Earlier:
    years = max((rule.years for rule in campaign.scheme.consequences), default=1) - 1
    earlier: dict[int, dict[str, Outcome]] = {}
    for row in (
        await store.outcomes(tx, campaign.scheme.id, before=campaign.year, years=years)
        if years
        else []
    ):
        earlier.setdefault(row["year"], {})[row["unit_id"]] = Outcome(
            row["from_bottom"], row["grade"]
        )
    return earlier


def _board(
    campaign: Campaign,
    category: Category,
    scores: Mapping[int, Score],
    before: Mapping[int, tuple[Decimal | None, int | None]],
    earlier: Earlier,
) -> Board:
    places = rank_units(
        [_standing(campaign, unit, scores) for unit in campaign.in_category(category.key)]
    )
    found: dict[str, list[Finding]] = {}
    for finding in consequences(campaign.scheme, places, year=campaign.year, earlier=earlier):
        found.setdefault(finding.unit_id, []).append(finding)
    rows = []
    for place in places:
        no, unit_id = place.standing.unit_no, place.standing.unit_id
        total_before, rank_before = before.get(no, (None, None))
        rows.append(
            Row(
                unit=campaign.by_no[no],
                place=place,
                score=scores.get(no),
                findings=tuple(found.get(unit_id, ())),
                moved_since_yesterday=no in before,
                total_before=total_before,
                rank_before=rank_before,
            )
        )
    return Board(campaign=campaign, category=category, rows=tuple(rows))


def _standing(campaign: Campaign, unit: Unit, scores: Mapping[int, Score]) -> Standing:
    score = scores.get(unit.unit_no)
    if score:
        return standing_of(campaign, score)
    return Standing(
        unit_no=unit.unit_no,
        unit_id=unit.unit_id,
        category=unit.category,
        total=None,
        unranked="尚无计分数据",
    )


async def explanation_of(
    tx: Transaction, campaign: Campaign, unit_id: str, *, version: str = ""
) -> Explained:
    """Where a unit's score comes from: under the rules in force from what is known now, under
    superseded ones as it was kept.

    Raises Rejected (404) for an unknown unit or version.
    """
    unit = unit_of(campaign, unit_id)
    if version and version != campaign.scheme.version:
        kept = await store.kept_explanation(tx, campaign.id, version, unit.unit_no)
        if kept is None:
            raise Rejected("没有这个版本的得分记录", status=404)
        return Explained(
            campaign=campaign,
            unit=unit,
            explanation=_explanations.decode(kept),
            place=None,
            current=False,
        )
    material = (await materials_of(tx, campaign, [unit.unit_no]))[unit.unit_no]
    [board] = await boards_of(tx, campaign, unit.category)
    row = next(row for row in board.rows if row.unit.unit_no == unit.unit_no)
    return Explained(
        campaign=campaign,
        unit=unit,
        explanation=explained(material, unit.unit_no),
        place=row.place,
        findings=row.findings,
        units_in_category=len(board.rows),
    )


def explained(material: Material, unit_no: int) -> Explanation:
    """The explanation of a unit's score from what is known about it."""
    return explain(material, score_unit(material, unit_no))


def unit_of(campaign: Campaign, unit_id: str) -> Unit:
    """Raises Rejected (404) for a unit that is not in the register."""
    if unit_id not in campaign.by_id:
        raise Rejected("没有找到这个单位", status=404)
    return campaign.by_id[unit_id]


async def current_campaign(tx: Transaction) -> Campaign | None:
    """The campaign that pages without one in their address are about: the newest; None while there
    is none.
    """
    newest = await store.newest_campaign(tx)
    return await campaign_of(tx, newest) if newest else None


async def live_board(
    tx: Transaction, campaign: Campaign, category: str
) -> list[tuple[int, Unit, Decimal]]:
    """(rank, unit, total) of a category's ranked units, from the shared copy; made again from the
    database when that is gone or old.

    However many people watch, the database is asked once in the copy's lifetime.
    """
    boards, digits = tx.context.boards, campaign.scheme.ranking.decimals
    places = await boards.top(campaign.id, category) if boards else None
    if places is None:
        [board] = await boards_of(tx, campaign, category)
        if boards is None or not board.ranked:
            return [
                (row.place.rank, row.unit, row.score.total)
                for row in board.ranked
                if row.place.rank and row.score and row.score.total
            ]
        places = await boards.rebuild(
            campaign.id,
            category,
            {row.unit.unit_id: _sortable(row, digits) for row in board.ranked},
        )
    known = [place for place in places if place.unit_id in campaign.by_id]
    return [
        (place.rank, campaign.by_id[place.unit_id], rounded(Fraction(place.score), digits))
        for place in known
    ]


def _sortable(row: Row, digits: int) -> float:
    """One number that sorts like (total, first tie rule) and rounds to the total: a tie value,
    0–100, shrinks below its last digit.
    """
    assert row.score is not None, "ranked units have a score"
    assert row.score.total is not None, "ranked units have a total"
    tie = row.score.ties[0] if row.score.ties else Decimal(0)
    return float(row.score.total - tie.scaleb(-digits - 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """Answers of one group to one question about one unit; numbers None where the group is too
    small to be shown.
    """

    unit_id: str
    instrument: str
    group: str
    item: int
    answer_counts: dict[int, int] | None


async def tallies_of(
    tx: Transaction, campaign: Campaign, *, unit_id: str = "", instrument: str = ""
) -> list[Tallied]:
    """Tallies by unit, questionnaire, group and question; groups under the scheme's smallest size
    without their numbers.
    """
    unit_nos = [unit_of(campaign, unit_id).unit_no] if unit_id else None
    response_group_ids = [
        number
        for (key, _), number in campaign.response_group_ids.items()
        if instrument in ("", key)
    ]
    cells: dict[tuple[int, int, int], dict[int, int]] = {}
    for row in await store.answer_counts_of(tx, response_group_ids, unit_nos):
        cells.setdefault((row["unit_no"], row["response_group_id"], row["item_no"]), {})[
            row["option_no"]
        ] = row["answer_count"]
    small = campaign.scheme.publication.small_group
    return [
        Tallied(
            unit_id=campaign.by_no[unit_no].unit_id,
            instrument=campaign.response_groups[response_group_id][0],
            group=campaign.response_groups[response_group_id][1],
            item=item,
            answer_counts=dict(sorted(answer_counts.items()))
            if sum(answer_counts.values()) >= small
            else None,
        )
        for (unit_no, response_group_id, item), answer_counts in sorted(cells.items())
    ]


# ── what moved ────────────────────────────────────────────────────────────────────────────────────


async def changes_of(
    tx: Transaction,
    campaign: Campaign,
    *,
    unit_id: str = "",
    source: str = "",
    since: date | None = None,
    page: int = 1,
    rows: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """What moved totals, newest first, and how many such lines there are; of one unit, or of all.

    `delta` None: there was no total before.
    """
    unit_no = unit_of(campaign, unit_id).unit_no if unit_id else None
    limit = rows or tx.context.sizes.page_rows
    asked: dict[str, Any] = {"unit_no": unit_no, "source": source, "since": since}
    found = await store.movements(tx, campaign.id, **asked, limit=limit, offset=(page - 1) * limit)
    return [_change(campaign, row) for row in found], await store.count_movements(
        tx, campaign.id, **asked
    )


def _change(campaign: Campaign, row: Mapping[str, Any]) -> dict[str, Any]:
    before, after = row["before"], row["after"]
    unit = campaign.by_no[row["unit_no"]]
    lines = zip(
        row["measures"] or (),
        row["numbers"] or (),
        row["details"] or (),
        row["texts"] or (),
        strict=True,
    )
    return {
        "unit_id": unit.unit_id,
        "name": unit.name,
        "moved_at": row["moved_at"],
        "source": row["source"],
        "ballots": row["ballots"],
        "what": _what(campaign, row, list(lines)),
        "before": before,
        "after": after,
        "delta": None if before is None or after is None else after - before,
        "rank_before": row["rank_before"],
        "rank_after": row["rank_after"],
        "scheme_version": row["scheme_version"],
        "event_ids": list(row["events"]),
    }


def _what(
    campaign: Campaign, row: Mapping[str, Any], lines: Sequence[tuple[str, str, str, str]]
) -> str:
    """The events behind a movement in words, each once; of many the first few."""
    telling = [line for line in lines if line[0] not in SILENT] or lines
    said = list(dict.fromkeys(in_words(campaign.scheme, *line) for line in telling))
    if len(said) > EVENTS_NAMED:
        said = [*said[:EVENTS_NAMED], f"等 {len(said)} 项"]
    if row["ballots"]:
        said.append(f"{'当日' if row['source'] == 'ballot' else ''}有效评价 {row['ballots']:+d} 份")
    return "；".join(said) or ("按新规则重新计分" if row["source"] == "rules" else "数据更正")


# ── the unit's own ────────────────────────────────────────────────────────────────────────────────


async def own_score(tx: Transaction, *, unit_id: str | None) -> Explained | None:
    """What a unit head may see of the own unit; None while the office does not show it, or the unit
    takes no part.
    """
    campaign = await current_campaign(tx)
    if campaign is None or campaign.shown_to_units_at is None or unit_id not in campaign.by_id:
        return None
    found = await explanation_of(tx, campaign, str(unit_id))
    return replace(
        found,
        explanation=for_the_unit(found.explanation),
        place=None,
        findings=(),
        units_in_category=0,
    )
