"""Acts on accounts of privileged roles: requested here, carried out when a second person agrees.

The command line acts by itself while nobody else could agree: on an installation without two
enabled administrators or leaders it creates accounts, and it restores the only one there is.
"""

from uuid import UUID

import msgspec

from services.intake.actions.accounts import check_organisation
from services.intake.actions.approval_kinds.privileged_accounts import (
    ACCOUNT_CHANGE,
    ACCOUNT_CREATION,
    ACCOUNT_FACTOR,
    ACCOUNT_PASSWORD,
    ChangePayload,
    CreationPayload,
    FactorPayload,
    PasswordPayload,
)
from services.intake.domain.accounts import check_name, check_password, normalise_name
from services.intake.domain.privileged_accounts import (
    APPROVERS,
    BOOTSTRAP_APPROVERS,
    change_needs_two,
    is_privileged,
)
from services.intake.store import accounts as store
from services.intake.store.accounts import StoredAccount
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import NewRequest, request_approval
from shared.security.passwords import NewPassword
from shared.security.policies import Account
from shared.storage.transaction import Transaction


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an account will be, as somebody wants it."""

    role: Role
    unit_id: str | None
    display_name: str
    disabled: bool


async def needs_second_person(
    tx: Transaction,
    account_id: UUID,
    change: AccountChange | None = None,
) -> bool:
    """Return whether a change, or without one a reset, needs two people.

    Raises Rejected (404) for an unknown account.
    """
    known = await _get(tx, account_id)
    if change is None:
        return is_privileged(known.account.role)
    changed = msgspec.structs.replace(
        known.account,
        role=change.role,
        unit_id=change.unit_id,
        display_name=change.display_name,
    )
    return change_needs_two(
        known.account, changed, was_disabled=known.disabled, disabled=change.disabled
    )


async def request_creation(
    tx: Transaction,
    *,
    name: str,
    display_name: str,
    role: Role,
    unit_id: str | None,
    password: NewPassword,
    reason: str,
    by: Account | None,
) -> UUID:
    """Ask for an account with a privileged role. Raises Rejected as `create_account` does."""
    name = normalise_name(name)
    check_name(name)
    check_password(password.text, name=name)
    await check_organisation(tx, role, unit_id)
    payload = CreationPayload(display_name.strip() or name, role, password.hash)
    wanted = NewRequest(subject=name, payload=payload, reason=reason)
    return await request_approval(tx, ACCOUNT_CREATION, wanted, by=by)


async def request_change(
    tx: Transaction,
    account_id: UUID,
    change: AccountChange,
    *,
    reason: str,
    by: Account,
) -> UUID:
    """Ask for another role or name of a privileged account. Raises Rejected (404, 409, 422)."""
    _check_not_own(account_id, by)
    await check_organisation(tx, change.role, change.unit_id)
    payload = ChangePayload(change.display_name, change.role)
    wanted = NewRequest(subject=str(account_id), payload=payload, reason=reason)
    return await request_approval(tx, ACCOUNT_CHANGE, wanted, by=by)


async def request_password(
    tx: Transaction,
    account_id: UUID,
    *,
    password: NewPassword,
    reason: str,
    by: Account,
) -> UUID:
    """Ask for a new password of a privileged account. Raises Rejected (404, 409, 422)."""
    _check_not_own(account_id, by)
    known = await _get(tx, account_id)
    check_password(password.text, name=known.account.name)
    payload = PasswordPayload(password.hash)
    wanted = NewRequest(subject=str(account_id), payload=payload, reason=reason)
    return await request_approval(tx, ACCOUNT_PASSWORD, wanted, by=by)


async def request_second_factor_reset(
    tx: Transaction,
    account_id: UUID,
    *,
    reason: str,
    by: Account | None,
) -> UUID:
    """Ask to remove the authenticator of a privileged account. Raises Rejected (404, 409, 422)."""
    if by is not None:
        _check_not_own(account_id, by)
    wanted = NewRequest(subject=str(account_id), payload=FactorPayload(), reason=reason)
    return await request_approval(tx, ACCOUNT_FACTOR, wanted, by=by)


def _check_not_own(account_id: UUID, by: Account) -> None:
    if account_id == by.id:
        raise Rejected("不能为自己的账号提出这项申请，请由另一位管理员操作")


async def _get(tx: Transaction, account_id: UUID) -> StoredAccount:
    known = await store.find(tx, account_id)
    if known is None:
        raise Rejected("没有这个账号", status=404)
    return known


# ── command line ──────────────────────────────────────────────────────────────────────────────────


async def may_create_alone(tx: Transaction, role: Role) -> bool:
    """Return whether the command line creates such an account without a second person."""
    if not is_privileged(role):
        return True
    return await store.count_enabled(tx, APPROVERS) < BOOTSTRAP_APPROVERS


async def may_restore_alone(tx: Transaction, known: Account) -> bool:
    """Return whether the command line resets a second factor without a second person."""
    others = await store.count_enabled(tx, APPROVERS, but=known.id)
    return not is_privileged(known.role) or others == 0
