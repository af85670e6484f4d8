"""Who decides about scores: the office requests, a leader or another person of it agrees."""

from typing import Final

from shared.appraisal.labels import Role

REQUESTERS: Final = frozenset({Role.OFFICE})
APPROVERS: Final = frozenset({Role.OFFICE, Role.LEADER})
