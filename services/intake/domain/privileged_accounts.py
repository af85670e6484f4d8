"""Which acts on accounts need two people: those that give or restore the rights of a privileged
role. Taking rights away never waits.
"""

from typing import Final

from services.intake.domain.second_factors import REQUIRED_ROLES
from shared.appraisal.labels import Role
from shared.security.policies import Account

APPROVERS: Final = frozenset({Role.ADMIN, Role.LEADER})
"""Who agrees when an administrator requests."""
BOOTSTRAP_APPROVERS: Final = 2
"""While fewer of them are enabled, the command line creates privileged accounts by itself."""


def is_privileged(role: Role) -> bool:
    """Return whether accounts of this role are created and restored by two people."""
    return role in REQUIRED_ROLES


def change_needs_two(
    known: Account,
    changed: Account,
    *,
    was_disabled: bool,
    disabled: bool,
) -> bool:
    """Return whether a change gives or restores privileged rights, or renames their holder."""
    is_same = known == changed and was_disabled == disabled
    return is_privileged(changed.role) and not disabled and not is_same
