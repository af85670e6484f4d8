"""Casework's pages, by subject; each file hangs its own door."""

from services.casework.pages import board, calendar, case, queue, triage

routers = (queue.router, case.router, triage.router, board.router, calendar.router)
