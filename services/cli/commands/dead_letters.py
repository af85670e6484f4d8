"""`fengping dead-letters` and `fengping replay`."""

from typing import Annotated

import typer
from rich.table import Table

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import build, installed_settings
from shared.messaging import dead_letters as messaging
from shared.messaging.store import buffered_events
from shared.messaging.store import dead_letters as store
from shared.storage.schema import SERVICES
from shared.storage.transaction import Transaction

COLUMNS = (
    "id",
    "topic",
    "type",
    "aggregate",
    "version",
    "reason",
    "detail",
    "attempts",
    "dead_lettered_at",
)


def list_pending(data: DataFolder = DATA) -> None:
    """List pending dead letters and the number of buffered events."""
    table = Table("service", *COLUMNS)

    async def add_rows(service: str, tx: Transaction) -> None:
        for dead_letter in await store.pending(tx):
            cells = [str(getattr(dead_letter, name)) for name in COLUMNS]
            table.add_row(service, *cells)
        out.print(f"{service}: {await buffered_events.count(tx)} buffered")

    run(in_each_service(installed_settings(data), SERVICES, add_rows))
    out.print(table)


def replay(
    service: Annotated[str, typer.Argument(help="The service that has the dead letters.")],
    ids: Annotated[list[int] | None, typer.Argument(help="Only these; default: all.")] = None,
    by: Annotated[str, typer.Option(help="Your name, for the audit log.")] = "operator",
    data: DataFolder = DATA,
) -> None:
    """Replay dead letters after their cause was removed. Replaying twice changes nothing."""
    built = build(service, installed_settings(data))
    replaying = messaging.replay(
        built.database,
        built.handlers,
        built.context,
        by=by,
        only=ids or None,
    )
    applied, failed = run(replaying)
    out.print(f"{applied} applied, {failed} still pending")
