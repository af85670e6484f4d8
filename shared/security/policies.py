"""Accounts and the policies of routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.labels import Role


class Account(msgspec.Struct, frozen=True):
    """A member of staff who is signed in, as every service sees them.

    `name` is for signing in, pages show `display_name`. Handlers and unit heads act for the
    organisation `unit_id`; it is None for everybody else. `inherited_unit_ids`: merged or split
    organisations whose open matters theirs has taken over.
    """

    id: UUID
    name: str
    display_name: str
    role: Role
    unit_id: str | None = None
    inherited_unit_ids: tuple[str, ...] = ()

    @property
    def unit_ids(self) -> tuple[str, ...]:
        """The organisations for which the account acts, its own first; none for most roles."""
        return () if self.unit_id is None else (self.unit_id, *self.inherited_unit_ids)


@dataclass(frozen=True, slots=True)
class Policy:
    """The roles that may use a route."""

    roles: frozenset[Role]
    public: bool = False

    def allows(self, account: Account | None) -> bool:
        """Return whether the account, None if nobody is signed in, may use the route."""
        return self.public or (account is not None and account.role in self.roles)


def allow(*roles: Role) -> Policy:
    """Return the policy that admits these roles. Raises ValueError if none is named."""
    if not roles:
        raise ValueError("a policy names at least one role; use PUBLIC or SIGNED_IN")
    return Policy(frozenset(roles))


PUBLIC: Final = Policy(frozenset(), public=True)
"""Admits everybody, signed in or not."""
SIGNED_IN: Final = Policy(frozenset(Role))
"""Admits every account."""
STAFF: Final = Policy(frozenset(Role) - {Role.AUDITOR, Role.CUSTODIAN})
"""Admits every account that works on the appraisal; auditors read the audit log only, custodians
approve only."""
