"""Accounts and their recent logins."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction

LOGINS_SHOWN: Final = 5
_COLUMNS: Final = "id, name, display_name, role, unit_id, password_hash, disabled"


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account and what its owner needs to sign in."""

    account: Account
    password_hash: str = field(repr=False)
    disabled: bool


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account in the administrator's list."""

    id: UUID
    name: str
    display_name: str
    role: str
    unit_id: str | None
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Login:
    at: datetime
    device: str


def _stored_account(record: asyncpg.Record) -> StoredAccount:
    account = Account(
        id=record["id"],
        name=record["name"],
        display_name=record["display_name"],
        role=Role(record["role"]),
        unit_id=record["unit_id"],
    )
    return StoredAccount(account, record["password_hash"], record["disabled"])


async def add(
    tx: Transaction,
    account: Account,
    password_hash: str,
) -> bool:
    """Insert an account; return False if the name is taken."""
    inserted = await tx.fetchval(
        """
        insert into accounts (id, name, display_name, role, unit_id, password_hash, disabled,
                              created_at, password_changed_at)
        values ($1, $2, $3, $4, $5, $6, false, $7, $7)
        on conflict (name) do nothing returning 1
        """,
        account.id,
        account.name,
        account.display_name,
        account.role,
        account.unit_id,
        password_hash,
        tx.now,
    )
    return inserted is not None


async def find(tx: Transaction, account_id: UUID) -> StoredAccount | None:
    record = await tx.fetchrow(f"select {_COLUMNS} from accounts where id = $1", account_id)
    return _stored_account(record) if record else None


async def lock(tx: Transaction, account_id: UUID) -> StoredAccount | None:
    """Lock an account until the end of the transaction and return it, or None."""
    record = await tx.fetchrow(
        f"select {_COLUMNS} from accounts where id = $1 for update", account_id
    )
    return _stored_account(record) if record else None


async def count_enabled(
    tx: Transaction,
    roles: Collection[Role],
    *,
    but: UUID | None = None,
) -> int:
    """Return how many enabled accounts have one of these roles, without the account `but`."""
    count: int = await tx.fetchval(
        "select count(*) from accounts "
        "where not disabled and role = any($1::text[]) and id is distinct from $2",
        list(roles),
        but,
    )
    return count


async def find_by_name(tx: Transaction, name: str) -> StoredAccount | None:
    record = await tx.fetchrow(f"select {_COLUMNS} from accounts where name = $1", name)
    return _stored_account(record) if record else None


async def names_of(tx: Transaction, ids: Sequence[UUID]) -> dict[str, str]:
    """Return display name and sign-in name of accounts by their id as text."""
    records = await tx.fetch(
        "select id::text as id, display_name || '（' || name || '）' as shown "
        "from accounts where id = any($1::uuid[])",
        ids,
    )
    return {record["id"]: record["shown"] for record in records}


async def lock_unchanged(tx: Transaction, known: StoredAccount) -> StoredAccount | None:
    """Return the account if it is enabled and has the same password, and lock it until commit."""
    record = await tx.fetchrow(
        f"select {_COLUMNS} from accounts "
        "where id = $1 and not disabled and password_hash = $2 for share",
        known.account.id,
        known.password_hash,
    )
    return _stored_account(record) if record else None


async def list_all(tx: Transaction) -> list[AccountEntry]:
    records = await tx.fetch(
        "select id, name, display_name, role, unit_id, disabled, created_at "
        "from accounts order by role, name"
    )
    return [AccountEntry(**record) for record in records]


async def set_password(
    tx: Transaction,
    account_id: UUID,
    password_hash: str,
) -> None:
    await tx.run(
        "update accounts set password_hash = $2, password_changed_at = $3 where id = $1",
        account_id,
        password_hash,
        tx.now,
    )


async def update(
    tx: Transaction,
    account: Account,
    *,
    disabled: bool,
) -> None:
    """Update role, unit and display name of an account, and whether it may sign in."""
    await tx.run(
        "update accounts set role = $2, unit_id = $3, display_name = $4, disabled = $5 "
        "where id = $1",
        account.id,
        account.role,
        account.unit_id,
        account.display_name,
        disabled,
    )


async def disable_of_unit(tx: Transaction, unit_id: str) -> list[UUID]:
    """Disable every enabled account of a unit and return their ids."""
    records = await tx.fetch(
        "update accounts set disabled = true where unit_id = $1 and not disabled returning id",
        unit_id,
    )
    return [record["id"] for record in records]


async def ids_of_units(tx: Transaction, unit_ids: Sequence[str]) -> list[UUID]:
    """Return the ids of all accounts of these units."""
    records = await tx.fetch("select id from accounts where unit_id = any($1)", list(unit_ids))
    return [record["id"] for record in records]


async def record_login(
    tx: Transaction,
    account_id: UUID,
    device: str,
) -> None:
    await tx.run(
        "insert into logins (account_id, at, device) values ($1, $2, $3)",
        account_id,
        tx.now,
        device,
    )


async def recent_logins(tx: Transaction, account_id: UUID) -> list[Login]:
    """Return the last logins, newest first."""
    records = await tx.fetch(
        "select at, device from logins where account_id = $1 order by at desc limit $2",
        account_id,
        LOGINS_SHOWN,
    )
    return [Login(**record) for record in records]


async def delete_old_logins(tx: Transaction, *, batch: int) -> int:
    """Delete logins older than half a year; return how many were deleted."""
    return await tx.run(
        """
        delete from logins where id in (
          select id from logins where at < $1::timestamptz - interval '180 days' limit $2
        )
        """,
        tx.now,
        batch,
    )
