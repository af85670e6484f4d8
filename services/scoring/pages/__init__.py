"""Scoring's pages, by subject; each file hangs its own door. Fixed words come before those that any
campaign could be called.
"""

from services.scoring.pages import boards, campaigns, units

doors = (campaigns.door, units.door, boards.door)
