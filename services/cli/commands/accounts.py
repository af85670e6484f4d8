"""`fengping accounts`: create accounts, reset a lost second factor."""

from typing import Annotated

import typer

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import installed_settings
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.passwords import NewPassword
from shared.storage.transaction import Transaction

accounts = typer.Typer(no_args_is_help=True, help="Accounts.")


@accounts.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    display_name: Annotated[str, typer.Option(help="The name that pages show.")] = "",
    unit: Annotated[
        str | None, typer.Option(help="Id of the account's unit (handler, unit_head).")
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Create an account, such as the first administrator's. Prompts for the password twice."""
    from services.intake.actions.accounts import create_account

    password = typer.prompt("password", hide_input=True, confirmation_prompt=True)

    async def create(_: str, tx: Transaction) -> None:
        account = await create_account(
            tx,
            name=name,
            display_name=display_name,
            role=role,
            password=await NewPassword.of(password),
            unit_id=unit,
            by="system",
        )
        out.print(f"{account.name} may sign in as {account.role.label}")

    run(in_each_service(installed_settings(data), ("intake",), create))


@accounts.command()
def reset_second_factor(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    data: DataFolder = DATA,
) -> None:
    """Remove the authenticator of an account, such as the last administrator's.

    The next sign-in enrols a new one.
    """
    from services.intake.actions import second_factors
    from services.intake.domain.accounts import normalise_name
    from services.intake.store.accounts import find_by_name

    async def reset(_: str, tx: Transaction) -> None:
        known = await find_by_name(tx, normalise_name(name))
        if known is None:
            raise Rejected("没有这个账号", status=404)
        await second_factors.reset(tx, known.account.id, by="system")
        out.print(f"{known.account.name} enrols a new authenticator at the next sign-in")

    run(in_each_service(installed_settings(data), ("intake",), reset))
