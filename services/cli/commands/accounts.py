"""`fengping accounts`: create accounts."""

from typing import Annotated

import typer

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import installed_settings
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
