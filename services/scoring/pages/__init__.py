"""The pages of scoring, one module per subject.

Routes with fixed words come before those with a campaign id.
"""

from services.scoring.pages import (
    boards,
    campaigns,
    decisions,
    enrolment,
    integrity,
    organisations,
    outcomes,
    recounts,
    units,
)

routers = (
    organisations.router,
    outcomes.router,
    enrolment.router,
    campaigns.router,
    units.router,
    decisions.router,
    boards.router,
    recounts.router,
    integrity.router,
)
