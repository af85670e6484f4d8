"""Who signs in with a one-time code (动态口令) besides the password."""

import hashlib
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.labels import Role

REQUIRED_ROLES: Final = frozenset(
    {
        Role.REVIEWER,
        Role.SUPERVISOR,
        Role.OFFICE,
        Role.LEADER,
        Role.ADMIN,
        Role.AUDITOR,
        Role.CUSTODIAN,
    }
)
"""Roles that read what complainants wrote, decide scores, manage accounts, read the audit log or
approve openings of identities.
"""
PENDING_SECONDS: Final = 10 * 60
"""Time to enter the one-time code after the password."""


class SignInStep(StrEnum):
    """What a sign-in still needs after the password."""

    CODE = "code"
    ENROLMENT = "enrolment"


class FactorKind(StrEnum):
    """What proved a sign-in besides the password, for the audit log."""

    NONE = "none"
    ONE_TIME_CODE = "one_time_code"
    RECOVERY_CODE = "recovery_code"
    PROVIDER = "identity_provider"
    """The identity provider asked for it, and the settings accept that."""


class SignInMethod(StrEnum):
    """What proved the identity at the first step of a sign-in, for the audit log."""

    PASSWORD = "password"
    PROVIDER = "identity_provider"


class PendingSignIn(msgspec.Struct, frozen=True):
    """A sign-in whose first step was right. A new password ends it."""

    account_id: UUID
    password_digest: str
    method: SignInMethod = SignInMethod.PASSWORD


def password_digest(password_hash: str) -> str:
    """Return what identifies a password hash without being it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()


def next_step(role: Role, *, enrolled: bool) -> SignInStep | None:
    """Return what a sign-in still needs, or None if the password suffices."""
    if enrolled:
        return SignInStep.CODE
    return SignInStep.ENROLMENT if role in REQUIRED_ROLES else None
