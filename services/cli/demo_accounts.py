"""The accounts of a demonstration: one of each role, and a handler and a head for each unit."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.intake.domain.accounts import UNIT_ROLES, check_password
from services.intake.store import accounts
from shared.appraisal.labels import Role
from shared.security.passwords import hash_password
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


@dataclass(frozen=True, slots=True)
class DemoAccount:
    name: str
    display_name: str
    role: Role


DEMO_ACCOUNTS: Final = (
    DemoAccount("zuoxi", "王敏", Role.OPERATOR),
    DemoAccount("shenhe", "张立", Role.REVIEWER),
    DemoAccount("duban", "李涛", Role.SUPERVISOR),
    DemoAccount("pingyiban", "陈静", Role.OFFICE),
    DemoAccount("xuncha", "巡查员07", Role.INSPECTOR),
    DemoAccount("lingdao", "赵刚", Role.LEADER),
    DemoAccount("guanli", "系统管理员", Role.ADMIN),
)
UNIT_ACCOUNTS: Final = (
    DemoAccount("chengban", "承办人", Role.HANDLER),
    DemoAccount("fuzeren", "负责人", Role.UNIT_HEAD),
)
"""For each unit: the name is a prefix, the display name a suffix."""
assert {demo.role for demo in UNIT_ACCOUNTS} == UNIT_ROLES, "a unit has an account of each role"


async def seed_accounts(
    tx: Transaction, *, password: str | None = None, units: Sequence[tuple[str, str]] = ()
) -> tuple[str, list[Account]]:
    """Create the accounts that are missing; return their password and the new accounts.

    All accounts share one password, generated if none is given. `units` are (id, name).
    """
    password = password or secrets.token_urlsafe(9)
    check_password(password, name="")
    # One hash for all accounts: hashing a hundred times would take ten seconds on a laptop.
    password_hash = await hash_password(password)
    wanted = [*_office_accounts(), *_unit_accounts(units)]
    added = [account for account in wanted if await accounts.add(tx, account, password_hash)]
    tx.audit("accounts.seeded", "demonstration", "system", count=len(added))
    return password, added


def _office_accounts() -> Iterator[Account]:
    for demo in DEMO_ACCOUNTS:
        yield Account(id=new_id(), name=demo.name, display_name=demo.display_name, role=demo.role)


def _unit_accounts(units: Sequence[tuple[str, str]]) -> Iterator[Account]:
    for unit_id, unit_name in units:
        for demo in UNIT_ACCOUNTS:
            yield Account(
                id=new_id(),
                name=f"{demo.name}-{unit_id}".lower(),
                display_name=f"{unit_name}{demo.display_name}",
                role=demo.role,
                unit_id=unit_id,
            )
