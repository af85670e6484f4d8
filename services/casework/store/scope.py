"""Which cases a person may find."""

from dataclasses import dataclass
from typing import Final

from services.casework.domain.states import ENDED_STATES, UNIT_ROLES
from shared.security.policies import Account


@dataclass(frozen=True, slots=True)
class CaseScope:
    """All cases, or the cases of some units; in either case none that excludes these units.

    `unit_ids`: the person's own unit and those whose matters it has taken over.
    """

    unit_ids: tuple[str, ...]
    everything: bool

    @classmethod
    def of(cls, user: Account) -> "CaseScope":
        """Return what this person may find. An account of a unit that names none finds nothing."""
        return cls(user.unit_ids, user.role not in UNIT_ROLES)

    @property
    def arguments(self) -> tuple[bool, list[str]]:
        """The first two arguments of a statement that contains `VISIBLE`."""
        return self.everything, list(self.unit_ids)


VISIBLE: Final = """
(($1 or c.unit_id = any($2::text[])) and not c.excluded_unit_ids && $2::text[])
"""
"""Restricts cases `c` to a scope: $1 everything, $2 units."""
_ENDED: Final = ", ".join(f"'{state}'" for state in ENDED_STATES)
IS_OPEN: Final = f"c.state not in ({_ENDED})"
"""Restricts cases `c` to the open ones; the index `ix_cases_open` has the same condition."""
