"""What an office may set about scoring, each an environment variable `FENGPING_SCORING_<NAME>`; and
what its actions find at hand.
"""

from dataclasses import dataclass, field

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.scoring.store import CampaignCache
from shared.storage.leaderboard import Leaderboard

BOARD_SECONDS = 2
"""A live board in Redis is at most so old."""


class ScoringSettings(BaseSettings):
    """Sizes and rhythms; weights, limits and samples are the scheme's."""

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_SCORING_", extra="ignore", hide_input_in_errors=True
    )

    changes_taken: int = Field(200, ge=1, le=5000)
    """Notes of moved units taken into one transaction."""
    page_rows: int = Field(50, ge=10, le=200)
    """Rows of a list page."""


@dataclass(kw_only=True)
class Context:
    """What actions find at `tx.context`: sizes, campaigns read before, the live boards (None: every
    board is read from the database).
    """

    sizes: ScoringSettings = field(default_factory=ScoringSettings)
    campaign_cache: CampaignCache = field(default_factory=CampaignCache)
    boards: Leaderboard | None = None
    ballots_due_at: float = float("-inf")
    """Steady seconds before which this process does not score what ballots moved."""
    changes_due_at: float = float("-inf")
    """Steady seconds before which the tick does not score what transactions left word of."""
    scored_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """Steady seconds at which this process last scored a unit, by (campaign_id, unit_no)."""
