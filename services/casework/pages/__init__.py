"""Casework's pages, by subject; each file hangs its own door."""

from shared.web import Door

doors: tuple[Door, ...] = ()
