"""The roles that receive notifications."""

from typing import Final

from shared.appraisal.labels import LabelledEnum, Role


class Audience(LabelledEnum):
    """A role that receives notifications."""

    REVIEWER = Role.REVIEWER.value, Role.REVIEWER.label
    HANDLER = Role.HANDLER.value, Role.HANDLER.label
    UNIT_HEAD = Role.UNIT_HEAD.value, Role.UNIT_HEAD.label
    SUPERVISOR = Role.SUPERVISOR.value, Role.SUPERVISOR.label
    OFFICE = Role.OFFICE.value, Role.OFFICE.label
    LEADER = Role.LEADER.value, Role.LEADER.label


UNIT_ROLES: Final = frozenset({Audience.HANDLER, Audience.UNIT_HEAD})
"""Roles that are notified about their own unit only; the others act for all units."""
