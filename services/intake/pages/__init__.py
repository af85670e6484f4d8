"""Intake's pages, by subject."""

from services.intake.pages import accounts, ballots, complaints, tracking

doors = [accounts.door, complaints.door, tracking.door, ballots.door]
"""In the order in which routes are looked for."""
