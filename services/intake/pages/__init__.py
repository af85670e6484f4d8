"""Intake's pages, by subject."""

from services.intake.pages import accounts, ballots, complaints, tracking, visits

routers = [accounts.router, complaints.router, tracking.router, ballots.router, visits.router]
"""In the order in which routes are looked for."""
