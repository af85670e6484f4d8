"""Accounts as their administrator sees them: with the organisation for which each acts."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.intake.settings import context_of
from services.intake.store import accounts as store
from services.intake.store.accounts import AccountEntry
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.organisations import OrganisationRegister, name_key
from shared.storage.organisations import known_register
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account. `note`: why it should be moved to another organisation, "" if it need not."""

    entry: AccountEntry
    unit_name: str
    note: str

    @property
    def role_label(self) -> str:
        return Role(self.entry.role).label


@dataclass(frozen=True, slots=True)
class AccountList:
    """Accounts that match a search. `units`: (id, path) of the organisations that exist today."""

    lines: Sequence[AccountLine]
    units: Sequence[tuple[str, str]]


async def list_accounts(
    tx: Transaction,
    *,
    term: str = "",
    only_ended: bool = False,
) -> AccountList:
    """Return accounts whose names or unit contain `term`; or those whose unit has ended."""
    register = await known_register(tx, context_of(tx).organisations)
    lines = [_line(register, entry) for entry in await store.list_all(tx)]
    wanted = name_key(term)
    found = [line for line in lines if _matches(line, wanted)]
    if only_ended:
        found = [line for line in found if line.note and not line.entry.disabled]
    return AccountList(found, unit_choices(register))


def unit_choices(register: OrganisationRegister) -> list[tuple[str, str]]:
    """Return (id, path) of the organisations that exist today, by path."""
    choices = [(each.id, register.path(each.id)) for each in register.active()]
    return sorted(choices, key=lambda choice: choice[1])


def _line(register: OrganisationRegister, entry: AccountEntry) -> AccountLine:
    organisation = register.find(entry.unit_id or "")
    if organisation is None:
        return AccountLine(entry, entry.unit_id or "", "")
    if organisation.is_active:
        return AccountLine(entry, organisation.name, "")
    heir_id = register.heir(organisation.id)
    moved_to = f"，请转到{register.name_of(heir_id)}" if heir_id != organisation.id else ""
    return AccountLine(entry, organisation.name, f"单位{organisation.state.label}{moved_to}")


def _matches(line: AccountLine, wanted: str) -> bool:
    keys = (line.entry.name, line.entry.display_name, line.unit_name, line.entry.unit_id or "")
    return any(wanted in name_key(key) for key in keys)


async def account_line(tx: Transaction, account_id: UUID) -> tuple[AccountLine, AccountList]:
    """Return one account, and what its form offers. Raises Rejected (404)."""
    accounts = await list_accounts(tx)
    for line in accounts.lines:
        if line.entry.id == account_id:
            return line, accounts
    raise Rejected("没有这个账号", status=404)
