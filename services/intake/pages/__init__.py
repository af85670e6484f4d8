"""Intake's pages, by subject."""

from services.intake.pages import accounts, complaints

doors = [accounts.door, complaints.door]
"""In the order in which routes are looked for."""
