"""The JSON API of scoring, one module per subject. Errors are problem+json."""

from services.scoring.api import (
    boards,
    campaigns,
    decisions,
    organisations,
    outcomes,
    recounts,
    units,
)

routers = (
    organisations.router,
    campaigns.router,
    boards.router,
    units.router,
    decisions.router,
    recounts.router,
    outcomes.router,
)
