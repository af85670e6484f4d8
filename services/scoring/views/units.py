"""One unit: where its score comes from, its neighbours, the decisions about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.scoring.domain.breakdown_rows import ComponentBreakdown
from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.explanation import Explanation, explain_unit, redact_for_unit
from services.scoring.domain.ledger import LedgerEntry
from services.scoring.domain.rank import UnitConsequence
from services.scoring.domain.score import UnitScore
from services.scoring.store import ledger, scores
from services.scoring.store.inputs import load_inputs
from services.scoring.views import charts
from services.scoring.views.boards import Board, load_board
from services.scoring.views.campaigns import current_campaign
from services.scoring.views.charts import BarSegment, LegendEntry
from shared.appraisal.errors import Rejected
from shared.storage.transaction import Transaction


class Neighbours(NamedTuple):
    """The units before and after a unit in the order of its category."""

    before: CampaignUnit | None = None
    after: CampaignUnit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitExplanation:
    """A unit's score with everything it comes from.

    `current`: under the rules in force, otherwise as stored when its rules were superseded.
    """

    campaign: Campaign
    unit: CampaignUnit
    explanation: Explanation
    rank: int | None = None
    consequences: Sequence[UnitConsequence] = ()
    current: bool = True
    units_in_category: int = 0

    @property
    def score(self) -> UnitScore:
        return self.explanation.score

    @property
    def bar(self) -> list[BarSegment]:
        """What each component contributes to the total, for a chart."""
        return charts.contribution_bar(self.campaign.scheme, self.score.components)

    @property
    def legend(self) -> list[LegendEntry]:
        return charts.legend(self.bar)

    @property
    def tones(self) -> dict[str, str]:
        """Component → its CSS class."""
        return charts.component_tones(self.campaign.scheme)

    @property
    def answer_bars(self) -> dict[str, list[BarSegment]]:
        """Row of a breakdown → how its group answered."""
        return {row.key: charts.answer_bar(row) for row in self._breakdown_rows}

    @property
    def _breakdown_rows(self) -> list[ComponentBreakdown]:
        return [row for component in self.explanation.components for row in component.breakdown]


async def explain_score(
    tx: Transaction,
    campaign: Campaign,
    unit_id: str,
    *,
    version: str = "",
) -> UnitExplanation:
    """Explain a unit's score under the rules in force, or as stored under superseded ones.

    Raises Rejected (404) for an unknown unit or version.
    """
    unit = campaign.unit(unit_id)
    if version and version != campaign.scheme.version:
        return await _stored_explanation(tx, campaign, unit, version)
    board = await load_board(tx, campaign, unit.category)
    row = board.rows[board.position(unit)]
    return UnitExplanation(
        campaign=campaign,
        unit=unit,
        explanation=await _explain_now(tx, campaign, unit),
        rank=row.rank,
        consequences=row.consequences,
        units_in_category=len(board.rows),
    )


async def _stored_explanation(
    tx: Transaction,
    campaign: Campaign,
    unit: CampaignUnit,
    version: str,
) -> UnitExplanation:
    stored = await scores.stored_explanation(tx, campaign.id, version, unit.unit_no)
    if stored is None:
        raise Rejected("没有这个版本的得分记录", status=404)
    return UnitExplanation(
        campaign=campaign,
        unit=unit,
        explanation=stored,
        current=False,
    )


async def _explain_now(
    tx: Transaction,
    campaign: Campaign,
    unit: CampaignUnit,
) -> Explanation:
    inputs = await load_inputs(tx, campaign, [unit.unit_no])
    return explain_unit(inputs[unit.unit_no], unit.unit_no)


async def own_score(tx: Transaction, *, unit_id: str | None) -> UnitExplanation | None:
    """Return what a unit head may see of their own unit: no rank, no single record.

    None while scores are not shown to units, or the unit takes no part.
    """
    campaign = await current_campaign(tx)
    if campaign is None or unit_id not in campaign.by_id or not campaign.is_shown_to_units:
        return None
    unit = campaign.by_id[unit_id]
    explanation = redact_for_unit(await _explain_now(tx, campaign, unit))
    return UnitExplanation(campaign=campaign, unit=unit, explanation=explanation)


async def neighbours(
    tx: Transaction,
    campaign: Campaign,
    unit: CampaignUnit,
) -> Neighbours:
    """Return the units before and after this one."""
    board = await load_board(tx, campaign, unit.category)
    at = board.position(unit)
    return Neighbours(_unit_at(board, at - 1), _unit_at(board, at + 1))


def _unit_at(board: Board, at: int) -> CampaignUnit | None:
    return board.rows[at].unit if 0 <= at < len(board.rows) else None


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision about a unit that stands, with the label of its rule."""

    entry: LedgerEntry
    rule_label: str


async def decisions_on(
    tx: Transaction,
    campaign: Campaign,
    unit: CampaignUnit,
) -> list[DecisionView]:
    """Return the decisions about a unit that stand, oldest first."""
    entries = await ledger.current_entries(tx, campaign.id, [unit.unit_no])
    decisions = [entry for entry in entries[unit.unit_no] if entry.measure == "decision"]
    decisions.sort(key=lambda entry: entry.sort_key)
    return [DecisionView(entry, _rule_label(campaign, entry.detail)) for entry in decisions]


def _rule_label(campaign: Campaign, rule_id: str) -> str:
    rule = campaign.scheme.rule(rule_id)
    return rule.label if rule else ""
