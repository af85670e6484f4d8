"""Create the accounts of a demo: one of each role, and a handler and a head for each unit."""

import secrets
from collections.abc import Iterator, Sequence

from services.intake.domain.accounts import check_password
from services.intake.store import accounts as store
from services.simulate.accounts import OFFICE_ACCOUNTS, DemoAccount, unit_accounts
from shared.security.passwords import hash_password
from shared.security.policies import Account
from shared.storage.organisations import active_organisation
from shared.storage.transaction import Transaction, new_id


async def seed_accounts(
    tx: Transaction,
    *,
    password: str | None = None,
    units: Sequence[tuple[str, str]] = (),
) -> tuple[str, list[Account]]:
    """Create the accounts that are missing; return their password and the new accounts.

    All accounts share one password, generated if none is given. `units` are (id, name). Raises
    Rejected for a unit that the register of organisations does not hold.
    """
    password = password or secrets.token_urlsafe(9)
    check_password(password, name="")
    # One hash for all accounts: hashing a hundred times would take ten seconds on a laptop.
    password_hash = await hash_password(password)
    for unit_id, _ in units:
        await active_organisation(tx, unit_id, field="unit_id")
    accounts = [_account(demo) for demo in _demo_accounts(units)]
    added = [account for account in accounts if await store.add(tx, account, password_hash)]
    for account in added:
        tx.audit("account.created", account.id, "system", role=account.role, unit=account.unit_id)
    return password, added


def _demo_accounts(units: Sequence[tuple[str, str]]) -> Iterator[DemoAccount]:
    yield from OFFICE_ACCOUNTS
    for unit_id, unit_name in units:
        yield from unit_accounts(unit_id, unit_name)


def _account(demo: DemoAccount) -> Account:
    return Account(
        id=new_id(),
        name=demo.name,
        display_name=demo.display_name,
        role=demo.role,
        unit_id=demo.unit_id,
    )
