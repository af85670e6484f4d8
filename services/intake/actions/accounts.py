"""Create and change accounts, sign in, and end sessions."""

from uuid import UUID

from services.intake.domain.accounts import (
    check_name,
    check_password,
    check_unit,
    device_of,
    normalise_name,
)
from services.intake.domain.second_factors import FactorKind, SignInMethod
from services.intake.settings import context_of
from services.intake.store import accounts as store
from services.intake.store.accounts import StoredAccount
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.passwords import NewPassword, verify_password
from shared.security.policies import Account
from shared.storage.organisations import active_organisation
from shared.storage.transaction import Transaction, TransactionFactory, new_id


async def create_account(
    tx: Transaction,
    *,
    name: str,
    display_name: str,
    role: Role,
    password: NewPassword,
    unit_id: str | None = None,
    by: str,
) -> Account:
    """Create an account. `by` is the id of the acting account, or `system`.

    Raises Rejected: 422 for an invalid name, password or unit, 409 for a name that is taken.
    """
    name = normalise_name(name)
    check_name(name)
    check_password(password.text, name=name)
    await check_organisation(tx, role, unit_id)
    account = new_account(name, display_name, role, unit_id=unit_id)
    await add_account(tx, account, password.hash, by=by)
    return account


def new_account(
    name: str,
    display_name: str,
    role: Role,
    *,
    unit_id: str | None,
) -> Account:
    """Return an account with a new id. `name` is normalised."""
    shown = display_name.strip() or name
    return Account(id=new_id(), name=name, display_name=shown, role=role, unit_id=unit_id)


async def add_account(
    tx: Transaction,
    account: Account,
    password_hash: str,
    *,
    by: str,
) -> None:
    """Insert an account that was checked. Raises Rejected (409) if its name is taken."""
    if not await store.add(tx, account, password_hash):
        raise Rejected("这个用户名已有人使用", field="name")
    tx.audit("account.created", account.id, by, role=account.role, unit=account.unit_id)


async def check_organisation(
    tx: Transaction,
    role: Role,
    unit_id: str | None,
) -> None:
    """Raise Rejected (422) unless exactly the accounts that act for a unit have one, and it is a
    body of the register that exists today.
    """
    check_unit(role, unit_id)
    if unit_id is not None:
        await active_organisation(tx, unit_id, field="unit_id")


async def verify(
    transactions: TransactionFactory,
    *,
    name: str,
    password: str,
) -> StoredAccount | None:
    """Return the account with this name and password, or None. Raises PasswordsBusy.

    An unknown name takes as long as a wrong password. No connection is held while hashing.
    """
    async with transactions() as tx:
        known = await store.find_by_name(tx, normalise_name(name))
    usable = known if known and not known.disabled else None
    password_hash = usable.password_hash if usable else None
    matches = await verify_password(password, password_hash)
    return usable if matches else None


async def sign_in(
    tx: Transaction,
    verified: StoredAccount,
    *,
    agent: str,
    factor: FactorKind = FactorKind.NONE,
    method: SignInMethod = SignInMethod.PASSWORD,
) -> Account | None:
    """Record the sign-in of a verified account and return the account, or None if it has changed.

    `agent` is the User-Agent header, `factor` what proved the sign-in besides `method`.
    """
    # Verifying takes a while. Read the account again and lock it until the session exists: if it is
    # disabled in the meantime, either this sign-in fails or its session is found and ended.
    unchanged = await store.lock_unchanged(tx, verified)
    if unchanged is None:
        return None
    account = unchanged.account
    await store.record_login(tx, account.id, device_of(agent))
    tx.audit("account.signed_in", account.id, str(account.id), factor=factor, method=method)
    return account


async def change_password(
    transactions: TransactionFactory,
    *,
    account: Account,
    old: str,
    new: str,
    again: str,
) -> str:
    """Set a new password, end all sessions of the account, and return the token of a new one.

    Raises Rejected (422), CacheUnavailable, PasswordsBusy. No connection is held while hashing.
    """
    async with transactions() as tx:
        known = await store.find(tx, account.id)
    if known is None or not await verify_password(old, known.password_hash):
        raise Rejected("旧密码不正确", status=422, field="old")
    if new != again:
        raise Rejected("两次输入的新密码不一致", status=422, field="again")
    check_password(new, name=account.name)
    password = await NewPassword.of(new)
    async with transactions() as tx:
        await store.set_password(tx, account.id, password.hash)
        tx.audit("account.password_changed", account.id, str(account.id))
        context = context_of(tx)
        await context.end_sessions(account.id)
        return await context.serving_sessions.create(account)


async def change_account(
    tx: Transaction,
    account_id: UUID,
    *,
    role: Role,
    unit_id: str | None,
    display_name: str,
    disabled: bool,
    by: Account,
) -> Account:
    """Change what an account may do and end its sessions, so that the change applies at once.

    Raises Rejected (404, 409, 422), CacheUnavailable.
    """
    known = await _get(tx, account_id)
    if account_id == by.id and (disabled or role is not by.role):
        raise Rejected("不能停用自己的账号或改变自己的角色")
    if not disabled or unit_id != known.account.unit_id:
        await check_organisation(tx, role, unit_id)
    changed = Account(
        id=account_id,
        name=known.account.name,
        display_name=display_name,
        role=role,
        unit_id=unit_id,
    )
    await store.update(tx, changed, disabled=disabled)
    tx.audit("account.changed", account_id, str(by.id), role=role, unit=unit_id, disabled=disabled)
    await context_of(tx).end_sessions(account_id)
    return changed


async def reset_password(
    tx: Transaction,
    account_id: UUID,
    *,
    password: NewPassword,
    by: Account,
) -> None:
    """Set the password of another account. Raises Rejected (404, 422), CacheUnavailable."""
    known = await _get(tx, account_id)
    check_password(password.text, name=known.account.name)
    await set_password(tx, account_id, password.hash, by=str(by.id))


async def set_password(
    tx: Transaction,
    account_id: UUID,
    password_hash: str,
    *,
    by: str,
) -> None:
    """Set a password that was checked and end the sessions. Raises CacheUnavailable."""
    await store.set_password(tx, account_id, password_hash)
    tx.audit("account.password_reset", account_id, by)
    await context_of(tx).end_sessions(account_id)


async def end_other_sessions(
    tx: Transaction,
    *,
    account: Account,
    keep: str,
) -> None:
    """退出其他设备: end all sessions except the one with token `keep`."""
    tx.audit("account.sessions_ended", account.id, str(account.id))
    await context_of(tx).end_sessions(account.id, keep=keep)


async def _get(tx: Transaction, account_id: UUID) -> StoredAccount:
    known = await store.find(tx, account_id)
    if known is None:
        raise Rejected("没有这个账号", status=404)
    return known
