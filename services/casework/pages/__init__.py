"""Casework's pages, by subject; each file hangs its own door."""

from services.casework.pages import board, calendar, case, queue, triage

doors = (queue.door, case.door, triage.door, board.door, calendar.door)
