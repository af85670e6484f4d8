"""The `fengping` command."""

import sys

import typer

from services.cli.commands.accounts import accounts
from services.cli.commands.checkpoints import checkpoints
from services.cli.commands.clock import clock
from services.cli.commands.contracts import contracts
from services.cli.commands.dead_letters import discard, list_pending, replay
from services.cli.commands.export import export
from services.cli.commands.imports import import_file
from services.cli.commands.keys import keys
from services.cli.commands.migrate import migrate
from services.cli.commands.serve import serve
from services.cli.commands.simulate import simulate
from services.cli.commands.up import up
from services.cli.commands.verify import verify
from services.cli.commands.witness import witness
from services.cli.console import err
from shared.appraisal.errors import Rejected
from shared.embedded import SetupError
from shared.messaging import TopicMismatch
from shared.security.keyring import InvalidKeyRing
from shared.storage.connections import UnsafeDatabase

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fengping 风评: conduct appraisal.",
)
cli.command()(up)
cli.command()(serve)
cli.command()(migrate)
cli.command()(simulate)
cli.add_typer(accounts, name="accounts")
cli.command("import")(import_file)
cli.command("dead-letters")(list_pending)
cli.command()(replay)
cli.command()(discard)
cli.add_typer(clock, name="clock")
cli.add_typer(keys, name="keys")
cli.command()(verify)
cli.command()(checkpoints)
cli.command()(export)
cli.command()(witness)
cli.command()(contracts)


def main() -> None:
    """Run the command; an expected error is one sentence and an exit status."""
    try:
        cli()
    except (SetupError, TopicMismatch, UnsafeDatabase, InvalidKeyRing) as error:
        err.print(f"[bold red]fengping:[/] {error}")
        sys.exit(1)
    except Rejected as error:
        err.print(f"[bold red]fengping:[/] {error.sentence}")
        sys.exit(2)


if __name__ == "__main__":
    main()
