"""Scoring's pages, by subject; each file hangs its own door. Fixed words come before those that any
campaign could be called.
"""

from services.scoring.pages import boards, campaigns, units

routers = (campaigns.router, units.router, boards.router)
