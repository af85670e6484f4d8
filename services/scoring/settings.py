"""Settings of scoring, environment variables `FENGPING_SCORING_<NAME>`, and the context of its
actions.
"""

from dataclasses import dataclass, field

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.scoring.domain.campaign import Campaign
from shared.appraisal.campaigns import CampaignCache
from shared.storage.leaderboard import Leaderboard
from shared.storage.transaction import Transaction

LEADERBOARD_SECONDS = 2
"""Maximum age of a live board in Redis."""
NEVER = float("-inf")


class ScoringSettings(BaseSettings):
    """Sizes. Weights, limits and samples belong to the scheme."""

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_SCORING_", extra="ignore", hide_input_in_errors=True
    )

    rescore_batch_max: int = Field(200, ge=1, le=5000)
    """Pending rescores handled in one transaction."""
    page_rows: int = Field(50, ge=10, le=200)
    """Rows of a list page."""


@dataclass(kw_only=True)
class ScoringContext:
    """What actions and views share beyond one transaction.

    `leaderboard` None: live boards are read from the database. Times are seconds of the monotonic
    clock.
    """

    settings: ScoringSettings = field(default_factory=ScoringSettings)
    campaigns: CampaignCache[Campaign] = field(default_factory=CampaignCache)
    leaderboard: Leaderboard | None = None
    next_ballot_rescore_at: float = NEVER
    """Before this time, this process does not rescore because of ballots."""
    next_pending_rescore_at: float = NEVER
    """Before this time, the job does not handle pending rescores."""
    scored_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """When this process last scored a unit, by (campaign_id, unit_no)."""

    def last_scored(self, campaign_id: str, unit_no: int) -> float:
        """Return when this process last scored the unit."""
        return self.scored_at.get((campaign_id, unit_no), NEVER)


def context_of(tx: Transaction) -> ScoringContext:
    """Return the context of a transaction."""
    context = tx.context
    assert isinstance(context, ScoringContext), "transactions of scoring carry its context"
    return context
