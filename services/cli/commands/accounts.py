"""`fengping accounts`: create accounts, reset a lost second factor."""

from typing import Annotated, Any, Final

import typer

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import installed_settings
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.passwords import NewPassword
from shared.storage.transaction import Transaction

WAITING: Final = "requested: another administrator or a leader approves it under 双人审批"
Reason = Annotated[str, typer.Option(help="Why, for the person who approves it.")]

accounts = typer.Typer(no_args_is_help=True, help="Accounts.")


@accounts.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    display_name: Annotated[str, typer.Option(help="The name that pages show.")] = "",
    unit: Annotated[
        str | None, typer.Option(help="Id of the account's unit (handler, unit_head).")
    ] = None,
    reason: Reason = "",
    data: DataFolder = DATA,
) -> None:
    """Create an account, such as the first two administrators'. Prompts for the password twice.

    Once two administrators or leaders exist, one of them approves every account that has rights of
    its own (双人审批).
    """
    from services.intake.actions.account_requests import may_create_alone, request_creation
    from services.intake.actions.accounts import create_account

    password = typer.prompt("password", hide_input=True, confirmation_prompt=True)

    async def create(_: str, tx: Transaction) -> None:
        wanted: dict[str, Any] = {
            "name": name,
            "display_name": display_name,
            "role": role,
            "password": await NewPassword.of(password),
            "unit_id": unit,
        }
        if await may_create_alone(tx, role):
            account = await create_account(tx, **wanted, by="system")
            out.print(f"{account.name} may sign in as {account.role.label}")
        else:
            await request_creation(tx, **wanted, reason=_reason(reason), by=None)
            out.print(WAITING)

    run(in_each_service(installed_settings(data), ("intake",), create))


@accounts.command()
def reset_second_factor(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    reason: Reason = "",
    data: DataFolder = DATA,
) -> None:
    """Remove the authenticator of an account, such as the only administrator's.

    The next sign-in enrols a new one. If another administrator or leader exists, one of them
    approves it for an account that has rights of its own (双人审批).
    """
    from services.intake.actions import second_factors
    from services.intake.actions.account_requests import (
        may_restore_alone,
        request_second_factor_reset,
    )
    from services.intake.domain.accounts import normalise_name
    from services.intake.store.accounts import find_by_name

    async def reset(_: str, tx: Transaction) -> None:
        known = await find_by_name(tx, normalise_name(name))
        if known is None:
            raise Rejected("没有这个账号", status=404)
        account = known.account
        if await may_restore_alone(tx, account):
            await second_factors.reset(tx, account.id, by="system")
            out.print(f"{account.name} enrols a new authenticator at the next sign-in")
        else:
            await request_second_factor_reset(tx, account.id, reason=_reason(reason), by=None)
            out.print(WAITING)

    run(in_each_service(installed_settings(data), ("intake",), reset))


def _reason(given: str) -> str:
    return given or str(typer.prompt("reason, for the person who approves it"))
