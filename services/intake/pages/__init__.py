"""Intake's pages, by subject."""

from services.intake.pages import accounts, ballots, complaints, tracking, visits

doors = [accounts.door, complaints.door, tracking.door, ballots.door, visits.door]
"""In the order in which routes are looked for."""
