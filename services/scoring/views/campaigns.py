"""Campaigns and their rules as pages and API show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.explanation import formula_kind
from services.scoring.domain.wording import FORMULAS
from services.scoring.store import campaigns
from services.scoring.store.campaigns import CampaignSummary, SchemeVersionSummary
from shared.appraisal.schemes import Adjustment, Component, Scheme
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ComponentRule:
    """A component of the rules, with the name of its formula."""

    rule: Component
    formula_label: str


@dataclass(frozen=True, slots=True)
class AdjustmentRule:
    """A deduction or bonus of the rules, with its signed amount."""

    rule: Adjustment
    amount: str

    @property
    def note(self) -> str:
        return f"前 {self.rule.after} 次不计" if self.rule.after else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesView:
    """The rules in force, and all versions, newest first."""

    campaign: Campaign
    components: Sequence[ComponentRule]
    adjustments: Sequence[AdjustmentRule]
    versions: Sequence[SchemeVersionSummary]


async def get_campaign(tx: Transaction, campaign_id: str) -> Campaign:
    """Return the campaign under its current rules. Raises Rejected (404) for an unknown id."""
    return await campaigns.get_campaign(tx, campaign_id)


async def current_campaign(tx: Transaction) -> Campaign | None:
    """Return the newest campaign, which pages without a campaign in their URL show."""
    newest = await campaigns.newest_campaign(tx)
    return await get_campaign(tx, newest) if newest else None


async def list_campaigns(tx: Transaction) -> list[CampaignSummary]:
    """Return all campaigns, newest first."""
    return await campaigns.list_campaigns(tx)


async def scheme_versions(tx: Transaction, campaign: Campaign) -> list[SchemeVersionSummary]:
    """Return the versions of a campaign's rules, newest first."""
    return await campaigns.scheme_versions(tx, campaign.id)


async def rules_of(tx: Transaction, campaign: Campaign) -> RulesView:
    """Return a campaign's rules."""
    return RulesView(
        campaign=campaign,
        components=[_component_rule(one) for one in campaign.scheme.components],
        adjustments=_adjustment_rules(campaign.scheme),
        versions=await campaigns.scheme_versions(tx, campaign.id),
    )


def _component_rule(component: Component) -> ComponentRule:
    return ComponentRule(component, FORMULAS[formula_kind(component.formula)])


def _adjustment_rules(scheme: Scheme) -> list[AdjustmentRule]:
    deductions = [AdjustmentRule(rule, f"−{rule.amount}") for rule in scheme.deductions]
    bonuses = [AdjustmentRule(rule, f"+{rule.amount}") for rule in scheme.bonuses]
    return deductions + bonuses
