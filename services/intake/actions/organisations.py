"""What a change of the register of organisations means for accounts.

A merger or split changes for whom the successor's people act, and a body that was recorded by
mistake has no people. Sessions carry these rights, so they end with the change.
"""

import msgspec

from services.intake.settings import context_of
from services.intake.store import accounts
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.labels import OrganisationState
from shared.appraisal.organisations import Organisation
from shared.security.policies import Account
from shared.storage.organisations import known_register, save_organisation
from shared.storage.transaction import Transaction


async def store_organisation(
    tx: Transaction,
    event: OrganisationPublished,
    version: int,
) -> None:
    """Store a published body and bring the accounts concerned up to date.

    Raises CacheUnavailable when sessions that must end cannot be ended.
    """
    organisation = event.organisation
    if not await save_organisation(tx, event, version) or organisation.is_active:
        return
    if organisation.state is OrganisationState.WITHDRAWN:
        await _disable_accounts(tx, organisation)
    await _end_sessions(tx, organisation)


async def _disable_accounts(tx: Transaction, organisation: Organisation) -> None:
    for account_id in await accounts.disable_of_unit(tx, organisation.id):
        tx.audit("account.disabled", account_id, "system", unit=organisation.id)


async def _end_sessions(tx: Transaction, organisation: Organisation) -> None:
    context = context_of(tx)
    register = await known_register(tx, context.organisations)
    units = [organisation.id, register.heir(organisation.id)]
    for account_id in await accounts.ids_of_units(tx, units):
        await context.end_sessions(account_id)


async def with_inherited_units(tx: Transaction, account: Account) -> Account:
    """Return the account with the bodies whose open matters its organisation has taken over."""
    if account.unit_id is None:
        return account
    register = await known_register(tx, context_of(tx).organisations)
    inherited = tuple(sorted(register.inherited(account.unit_id)))
    return msgspec.structs.replace(account, inherited_unit_ids=inherited)
