"""Intake's pages, by subject."""

from services.intake.pages import (
    accounts,
    ballots,
    complaints,
    home,
    sessions,
    tracking,
    visits,
)

routers = [
    home.router,
    sessions.router,
    accounts.router,
    complaints.router,
    tracking.router,
    ballots.router,
    visits.router,
]
"""In the order in which routes are matched."""
