"""Signing in and out, the home page, one's own settings."""

from shared.web import Door

door = Door()
