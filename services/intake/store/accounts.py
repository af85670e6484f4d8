"""Accounts and their last logins."""

from typing import Final
from uuid import UUID

import asyncpg

from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction

LOGINS_SHOWN: Final = 5


def account_of(row: asyncpg.Record) -> Account:
    """The person behind an account's row, as every service sees them."""
    return Account(
        id=row["id"],
        name=row["name"],
        display_name=row["display_name"],
        role=Role(row["role"]),
        unit_id=row["unit_id"],
    )


async def add(tx: Transaction, account: Account, password_hash: str) -> bool:
    """Write an account; False when the name is taken."""
    added = await tx.fetchval(
        """
        insert into accounts (id, name, display_name, role, unit_id, password_hash, disabled, created_at, password_changed_at)
        values ($1, $2, $3, $4, $5, $6, false, $7, $7) on conflict (name) do nothing returning 1
        """,
        account.id,
        account.name,
        account.display_name,
        account.role,
        account.unit_id,
        password_hash,
        tx.now,
    )
    return added is not None


async def by_name(tx: Transaction, name: str) -> asyncpg.Record | None:
    return await tx.fetchrow("select * from accounts where name = $1", name)


async def unchanged(tx: Transaction, row: asyncpg.Record) -> asyncpg.Record | None:
    """The same account, if it may still sign in with the same password; nobody changes it before
    this transaction ends.
    """
    return await tx.fetchrow(
        "select * from accounts where id = $1 and not disabled and password_hash = $2 for share",
        row["id"],
        row["password_hash"],
    )


async def by_id(tx: Transaction, account_id: UUID) -> asyncpg.Record | None:
    return await tx.fetchrow("select * from accounts where id = $1", account_id)


async def listed(tx: Transaction) -> list[asyncpg.Record]:
    """All accounts without their passwords."""
    return await tx.fetch(
        "select id, name, display_name, role, unit_id, disabled, created_at from accounts order by role, name"
    )


async def set_password(tx: Transaction, account_id: UUID, password_hash: str) -> None:
    await tx.run(
        "update accounts set password_hash = $2, password_changed_at = $3 where id = $1",
        account_id,
        password_hash,
        tx.now,
    )


async def change(
    tx: Transaction,
    account_id: UUID,
    *,
    role: Role,
    unit_id: str | None,
    display_name: str,
    disabled: bool,
) -> None:
    await tx.run(
        "update accounts set role = $2, unit_id = $3, display_name = $4, disabled = $5 where id = $1",
        account_id,
        role,
        unit_id,
        display_name,
        disabled,
    )


async def note_login(tx: Transaction, account_id: UUID, device: str) -> None:
    await tx.run(
        "insert into logins (account_id, at, device) values ($1, $2, $3)",
        account_id,
        tx.now,
        device,
    )


async def logins(tx: Transaction, account_id: UUID) -> list[asyncpg.Record]:
    """The last logins, newest first."""
    return await tx.fetch(
        "select at, device from logins where account_id = $1 order by at desc limit $2",
        account_id,
        LOGINS_SHOWN,
    )


async def forget_logins(tx: Transaction, *, batch: int) -> int:
    """Keep the logins of half a year."""
    old = "select id from logins where at < $1::timestamptz - interval '180 days' limit $2"
    return await tx.run(f"delete from logins where id in ({old})", tx.now, batch)
