"""Who may use a route: accounts, policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.labels import Role

# ── roles, policies ───────────────────────────────────────────────────────────────────────────────


class Account(msgspec.Struct, frozen=True):
    """A signed-in member of staff as every service sees them.

    `name` is what they sign in with, `display_name` what pages show. `unit_id` is the unit they act
    for (handlers and unit heads), None for those who act for the whole system.
    """

    id: UUID
    name: str
    display_name: str
    role: Role
    unit_id: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may use a route. Every route has one; a route without does not start."""

    roles: frozenset[Role]
    public: bool = False

    def allows(self, account: Account | None) -> bool:
        """May this person (None: nobody is signed in) use the route?"""
        return self.public or (account is not None and account.role in self.roles)


def allow(*roles: Role) -> Policy:
    """Only people of these roles. Raises ValueError when none is named."""
    if not roles:
        raise ValueError("a policy names at least one role; use PUBLIC or SIGNED_IN")
    return Policy(frozenset(roles))


PUBLIC: Final = Policy(frozenset(), public=True)
"""Anybody, signed in or not."""
SIGNED_IN: Final = Policy(frozenset(Role))
"""Every member of staff, whatever the role."""
