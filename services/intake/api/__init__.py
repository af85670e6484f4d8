"""JSON API of intake, by subject."""

from services.intake.api import (
    accounts,
    accused,
    ballots,
    campaigns,
    complaints,
    imports,
    releases,
    rounds,
    sessions,
    token_batches,
    visits,
)

routers = [
    sessions.router,
    complaints.router,
    accused.router,
    releases.router,
    ballots.router,
    token_batches.router,
    rounds.router,
    visits.router,
    imports.router,
    campaigns.router,
    accounts.router,
]
"""In the order in which routes are matched."""
