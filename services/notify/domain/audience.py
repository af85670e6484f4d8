"""The roles that receive notifications."""

from enum import StrEnum
from typing import Final

from shared.appraisal.labels import Role


class Audience(StrEnum):
    """A role that receives notifications."""

    REVIEWER = Role.REVIEWER
    HANDLER = Role.HANDLER
    UNIT_HEAD = Role.UNIT_HEAD
    SUPERVISOR = Role.SUPERVISOR
    OFFICE = Role.OFFICE
    LEADER = Role.LEADER

    @property
    def label(self) -> str:
        """The role's name on pages."""
        return Role(self.value).label


UNIT_ROLES: Final = frozenset({Audience.HANDLER, Audience.UNIT_HEAD})
"""Roles that are notified about their own unit only; the others act for all units."""
