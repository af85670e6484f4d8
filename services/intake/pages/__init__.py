"""Intake's pages, by subject."""

from services.intake.pages import accounts

doors = [accounts.door]
"""In the order in which routes are looked for."""
