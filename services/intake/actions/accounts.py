"""Accounts: who may sign in, and as what."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.intake.domain.accounts import (
    UNIT_ROLES,
    check_name,
    check_password,
    check_unit,
    device_of,
    read_name,
)
from services.intake.settings import context_of
from services.intake.store import accounts as store
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.passwords import hash_password, verify_password
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


async def create_account(
    tx: Transaction,
    *,
    name: str,
    display_name: str,
    role: Role,
    password: str,
    unit_id: str | None = None,
    by: str,
) -> Account:
    """A new account. `by`: id of who makes it, or `system`. Raises Rejected for a bad name or
    password (422), a taken name (409).
    """
    name = read_name(name)
    check_name(name)
    check_password(password, name=name)
    check_unit(role, unit_id)
    account = Account(
        id=new_id(),
        name=name,
        display_name=display_name.strip() or name,
        role=role,
        unit_id=unit_id,
    )
    if not await store.add(tx, account, await hash_password(password)):
        raise Rejected("这个用户名已有人使用", field="name")
    tx.audit("account.created", account.id, by, role=role, unit=unit_id)
    return account


async def sign_in(tx: Transaction, *, name: str, password: str, agent: str) -> Account | None:
    """Whose name and password these are; None when nobody's, with the same work done. `agent`: the
    User-Agent header.
    """
    row = await store.by_name(tx, read_name(name))
    usable = row is not None and not row["disabled"]
    matches = await verify_password(
        password, row["password_hash"] if row is not None and usable else None
    )
    # Looked at once more, and held until the session is there: whoever withdraws the right
    # meanwhile finds the session to end.
    row = await store.unchanged(tx, row) if row is not None and matches else None
    if row is None:
        return None
    await store.note_login(tx, row["id"], device_of(agent))
    tx.audit("account.signed_in", row["id"], str(row["id"]))
    return store.account_of(row)


async def change_password(
    tx: Transaction, *, account: Account, old: str, new: str, again: str, keep: str | None
) -> None:
    """Set a new password and end every other session. `keep`: the token of this one. Raises Rejected
    (422), CacheUnavailable.
    """
    row = await store.by_id(tx, account.id)
    if row is None or not await verify_password(old, row["password_hash"]):
        raise Rejected("旧密码不正确", status=422, field="old")
    if new != again:
        raise Rejected("两次输入的新密码不一致", status=422, field="again")
    check_password(new, name=account.name)
    await store.set_password(tx, account.id, await hash_password(new))
    tx.audit("account.password_changed", account.id, str(account.id))
    await _end_sessions(tx, account.id, keep)


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
    """Change what an account may do; its sessions end, so that the change holds at once. Raises
    Rejected (404, 409, 422), CacheUnavailable.
    """
    row = await store.by_id(tx, account_id)
    if row is None:
        raise Rejected("没有这个账号", status=404)
    if account_id == by.id and (disabled or role is not by.role):
        raise Rejected("不能停用自己的账号或改变自己的角色")
    check_unit(role, unit_id)
    await store.change(
        tx, account_id, role=role, unit_id=unit_id, display_name=display_name, disabled=disabled
    )
    tx.audit("account.changed", account_id, str(by.id), role=role, unit=unit_id, disabled=disabled)
    await _end_sessions(tx, account_id, None)
    return Account(
        id=account_id, name=row["name"], display_name=display_name, role=role, unit_id=unit_id
    )


async def reset_password(tx: Transaction, account_id: UUID, *, password: str, by: Account) -> None:
    """Give somebody who forgot theirs a new password. Raises Rejected (404, 422), CacheUnavailable."""
    row = await store.by_id(tx, account_id)
    if row is None:
        raise Rejected("没有这个账号", status=404)
    check_password(password, name=row["name"])
    await store.set_password(tx, account_id, await hash_password(password))
    tx.audit("account.password_reset", account_id, str(by.id))
    await _end_sessions(tx, account_id, None)


async def end_other_sessions(tx: Transaction, *, account: Account, keep: str) -> None:
    """退出其他设备."""
    tx.audit("account.sessions_ended", account.id, str(account.id))
    await _end_sessions(tx, account.id, keep)


async def _end_sessions(tx: Transaction, account_id: UUID, keep: str | None) -> None:
    sessions = context_of(tx).sessions
    if sessions is not None:
        await sessions.revoke_all(account_id, keep=keep)


# ── the people of a demonstration ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Seat:
    """An account of the demonstration."""

    name: str
    display_name: str
    role: Role


SEATS: Final = (
    Seat("zuoxi", "王敏", Role.OPERATOR),
    Seat("shenhe", "张立", Role.REVIEWER),
    Seat("duban", "李涛", Role.SUPERVISOR),
    Seat("pingyiban", "陈静", Role.OFFICE),
    Seat("xuncha", "巡查员07", Role.INSPECTOR),
    Seat("lingdao", "赵刚", Role.LEADER),
    Seat("guanli", "系统管理员", Role.ADMIN),
)
UNIT_SEATS: Final = ((Role.HANDLER, "chengban", "承办人"), (Role.UNIT_HEAD, "fuzeren", "负责人"))
assert {role for role, _, _ in UNIT_SEATS} == UNIT_ROLES, "a unit has one seat of each of its roles"


async def seed_accounts(
    tx: Transaction, *, password: str | None = None, units: Sequence[tuple[str, str]] = ()
) -> tuple[str, list[Account]]:
    """Accounts for a demonstration: one of each role, and a handler and a head for each unit (id,
    name).

    Gives the password of all of them (made up when none is given) and the accounts that were new. A
    second call adds what is missing.
    """
    password = password or secrets.token_urlsafe(9)
    check_password(password, name="")
    # One hash for all: a hundred of them would keep a laptop busy for ten seconds, and the password
    # is the same anyway.
    hashed = await hash_password(password)
    wanted = [
        Account(id=new_id(), name=seat.name, display_name=seat.display_name, role=seat.role)
        for seat in SEATS
    ]
    wanted += [
        Account(
            id=new_id(),
            name=f"{prefix}-{unit_id}".lower(),
            display_name=f"{unit}{word}",
            role=role,
            unit_id=unit_id,
        )
        for unit_id, unit in units
        for role, prefix, word in UNIT_SEATS
    ]
    added = [account for account in wanted if await store.add(tx, account, hashed)]
    tx.audit("accounts.seeded", "demonstration", "system", count=len(added))
    return password, added
