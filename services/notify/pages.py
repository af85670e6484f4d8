"""Notify for people."""

from shared.web import Door

door = Door(prefix="/notify")
