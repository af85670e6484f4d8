"""Pages of intake, by subject."""

from services.intake.pages import (
    account_admin,
    accounts,
    accused,
    ballots,
    complaints,
    home,
    hotline,
    hotline_lookups,
    oidc,
    progress,
    public,
    questionnaires,
    releases,
    report_wizard,
    second_factor,
    sessions,
    token_batches,
    visits,
)

routers = [
    home.router,
    sessions.router,
    oidc.router,
    accounts.router,
    account_admin.router,
    second_factor.router,
    hotline.router,
    hotline_lookups.router,
    complaints.router,
    accused.router,
    releases.router,
    public.router,
    report_wizard.router,
    progress.router,
    ballots.router,
    questionnaires.router,
    token_batches.router,
    visits.router,
]
"""In the order in which routes are matched."""
