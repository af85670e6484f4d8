"""Boards: the units of each category in their order, with scores and consequences."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from services.scoring.domain.arithmetic import rounded
from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.rank import (
    SMALL_CATEGORY,
    EarlierResults,
    RankedUnit,
    UnitConsequence,
    consequences,
    rank_units,
    ranking_entry,
)
from services.scoring.domain.score import UnitScore
from services.scoring.domain.wording import TIES
from services.scoring.settings import context_of
from services.scoring.store import changes, outcomes, scores
from services.scoring.store.changes import EarlierTotal
from services.scoring.views import charts
from services.scoring.views.charts import BarSegment, LegendEntry
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.schemes import Category
from shared.foundation.grouping import group_by
from shared.storage.leaderboard import LeaderboardEntry
from shared.storage.transaction import Transaction

UNITS_AT_EACH_END: Final = 3
"""Units of a category on the first page: this many from the top and from the bottom."""


class RankedTotal(NamedTuple):
    """A ranked unit with its total."""

    rank: int
    unit: CampaignUnit
    total: Decimal


@dataclass(frozen=True, slots=True)
class MarkedUnits:
    """The names of the units to which one consequence applies."""

    label: str
    names: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """A unit on a board.

    `score` None: it was never scored. `yesterday`: total and rank at the end of yesterday, None
    when they are unchanged.
    """

    unit: CampaignUnit
    ranked: RankedUnit
    score: UnitScore | None
    consequences: tuple[UnitConsequence, ...]
    bar: Sequence[BarSegment] = ()
    yesterday: EarlierTotal | None = None

    @property
    def rank(self) -> int | None:
        return self.ranked.rank

    @property
    def unranked(self) -> str:
        """Why the unit has no rank."""
        return self.ranked.entry.unranked

    @property
    def total(self) -> Decimal | None:
        return self.score.total if self.score else None

    @property
    def first_tie(self) -> Decimal:
        """The value of the first tie rule, 0 without one."""
        return self.score.ties[0] if self.score and self.score.ties else Decimal(0)

    @property
    def sample(self) -> int:
        return self.score.sample if self.score else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The units of one category in their order, unranked units last."""

    campaign: Campaign
    category: Category
    rows: tuple[BoardRow, ...]

    @property
    def ranked(self) -> list[BoardRow]:
        return [row for row in self.rows if row.rank is not None]

    @property
    def unranked(self) -> list[BoardRow]:
        return [row for row in self.rows if row.rank is None]

    @property
    def changed_today(self) -> int:
        """How many units have another total than at the end of yesterday."""
        return sum(row.yesterday is not None for row in self.rows)

    @property
    def totals(self) -> list[RankedTotal]:
        """The ranked units with their totals, in order."""
        return [
            RankedTotal(row.rank, row.unit, row.total)
            for row in self.rows
            if row.rank is not None and row.total is not None
        ]

    @property
    def ends(self) -> list[RankedTotal | None]:
        """The first and the last units, None for those between; all units of a short board."""
        totals = self.totals
        if len(totals) <= 2 * UNITS_AT_EACH_END:
            return [*totals]
        return [*totals[:UNITS_AT_EACH_END], None, *totals[-UNITS_AT_EACH_END:]]

    @property
    def marks(self) -> list[MarkedUnits]:
        """The consequences on this board, each with its units."""
        names = self._names_by_mark
        return [MarkedUnits(label, "、".join(names[label])) for label in sorted(names)]

    @property
    def _names_by_mark(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for row in self.rows:
            for consequence in row.consequences:
                names.setdefault(consequence.mark, []).append(row.unit.name)
        return names

    @property
    def legend(self) -> list[LegendEntry]:
        return charts.component_legend(self.campaign.scheme)

    @property
    def tie_text(self) -> str:
        """The tie rules in words."""
        return "、".join(TIES[tie] for tie in self.campaign.scheme.ranking.ties)

    @property
    def is_small(self) -> bool:
        """Whether a person has to decide on the last units."""
        return len(self.ranked) < SMALL_CATEGORY

    def position(self, unit: CampaignUnit) -> int:
        """Return the position of a unit of this category, from 0."""
        return next(at for at, row in enumerate(self.rows) if row.unit == unit)


@dataclass(frozen=True, slots=True)
class _Standings:
    """What boards are built from."""

    scores: Mapping[int, UnitScore]
    yesterday: Mapping[int, EarlierTotal]
    earlier: EarlierResults

    def rank(self, units: Iterable[CampaignUnit]) -> list[RankedUnit]:
        """Return the units of one category in their order."""
        return rank_units([ranking_entry(unit, self.scores.get(unit.unit_no)) for unit in units])


async def load_boards(
    tx: Transaction,
    campaign: Campaign,
    category: str = "",
) -> list[Board]:
    """Return the board of one category, or of all.

    Raises Rejected (404) for a category that the scheme does not have.
    """
    categories = [campaign.category(category)] if category else campaign.scheme.categories
    standings = await _load_standings(tx, campaign)
    return [_board(campaign, one, standings) for one in categories]


async def _load_standings(tx: Transaction, campaign: Campaign) -> _Standings:
    version = campaign.scheme.version
    return _Standings(
        scores=await scores.running_scores(tx, campaign.id, version),
        yesterday=await changes.totals_on(tx, campaign.id, version, yesterday(tx.now)),
        earlier=await _earlier_results(tx, campaign),
    )


async def load_board(
    tx: Transaction,
    campaign: Campaign,
    category: str,
) -> Board:
    """Return the board of one category. Raises Rejected (404) for an unknown one."""
    [board] = await load_boards(tx, campaign, category)
    return board


def yesterday(now: datetime) -> date:
    """Return the civil day before the one of `now`."""
    return civil_day(now) - timedelta(days=1)


async def _earlier_results(tx: Transaction, campaign: Campaign) -> EarlierResults:
    years = max((rule.years for rule in campaign.scheme.consequences), default=1) - 1
    if not years:
        return {}
    scheme_id = campaign.scheme.id
    return await outcomes.earlier_results(tx, scheme_id, before=campaign.year, years=years)


def _board(
    campaign: Campaign,
    category: Category,
    standings: _Standings,
) -> Board:
    ranked = standings.rank(campaign.in_category(category.key))
    found = _consequences_by_unit(campaign, ranked, standings.earlier)
    rows = (_row(campaign, unit, found, standings) for unit in ranked)
    return Board(campaign=campaign, category=category, rows=tuple(rows))


def _consequences_by_unit(
    campaign: Campaign,
    ranked: Sequence[RankedUnit],
    earlier: EarlierResults,
) -> dict[str, list[UnitConsequence]]:
    found = consequences(campaign.scheme, ranked, year=campaign.year, earlier=earlier)
    return group_by(found, lambda consequence: consequence.unit_id)


def _row(
    campaign: Campaign,
    ranked: RankedUnit,
    found: Mapping[str, Sequence[UnitConsequence]],
    standings: _Standings,
) -> BoardRow:
    unit = campaign.by_no[ranked.entry.unit_no]
    score = standings.scores.get(unit.unit_no)
    bar = charts.contribution_bar(campaign.scheme, score.components) if score else ()
    return BoardRow(
        unit=unit,
        ranked=ranked,
        score=score,
        consequences=tuple(found.get(unit.unit_id, ())),
        bar=bar,
        yesterday=standings.yesterday.get(unit.unit_no),
    )


# ── live boards ───────────────────────────────────────────────────────────────────────────────────


async def live_board(
    tx: Transaction,
    campaign: Campaign,
    category: str,
) -> list[RankedTotal]:
    """Return the ranked units of a category from the shared copy in Redis.

    The copy is rebuilt from the database when it is missing or expired, once in its lifetime for
    all readers. Raises Rejected (404) for an unknown category.
    """
    campaign.category(category)
    leaderboard = context_of(tx).leaderboard
    entries = await leaderboard.top(campaign.id, category) if leaderboard else None
    if entries is None:
        board = await load_board(tx, campaign, category)
        if leaderboard is None or not board.ranked:
            return board.totals
        entries = await leaderboard.rebuild(campaign.id, category, dict(_sort_values(board)))
    return _ranked_totals(campaign, entries)


def _ranked_totals(campaign: Campaign, entries: Iterable[LeaderboardEntry]) -> list[RankedTotal]:
    return [_ranked_total(campaign, one) for one in entries if one.unit_id in campaign.by_id]


def _ranked_total(campaign: Campaign, entry: LeaderboardEntry) -> RankedTotal:
    total = rounded(Fraction(entry.score), campaign.scheme.ranking.decimals)
    return RankedTotal(entry.rank, campaign.by_id[entry.unit_id], total)


def _sort_values(board: Board) -> Iterator[tuple[str, float]]:
    """Yield a number for each ranked unit that sorts like (total, first tie).

    It rounds to the total: a tie value, 0–100, is scaled below the last digit.
    """
    decimals = board.campaign.scheme.ranking.decimals
    for row in board.ranked:
        assert row.total is not None, "ranked units have a total"
        yield row.unit.unit_id, float(row.total - row.first_tie.scaleb(-decimals - 3))
