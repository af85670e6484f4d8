"""`fengping dead-letters`, `fengping replay` and `fengping discard`."""

from typing import Annotated

import typer
from rich.table import Table

from services.cli.console import DATA, DataFolder, check_service, in_each_service, out, run
from services.cli.installation import build, installed_settings
from shared.messaging import dead_letters as messaging
from shared.messaging.store import buffered_events
from shared.messaging.store import dead_letters as store
from shared.messaging.store.dead_letters import DeadLetter
from shared.storage.schema import SERVICES
from shared.storage.transaction import Transaction

By = Annotated[str, typer.Option(help="Your name, for the audit log.")]
ServiceName = Annotated[
    str, typer.Argument(help="The service that has the dead letters.", callback=check_service)
]


def list_pending(data: DataFolder = DATA) -> None:
    """List pending dead letters and the number of buffered events."""
    table = Table("service", "id", "event", "reason", "since", show_lines=True)

    async def add_rows(service: str, tx: Transaction) -> None:
        for pending in await store.pending(tx):
            table.add_row(service, *_cells(pending))
        out.print(f"{service}: {await buffered_events.count(tx)} buffered")

    run(in_each_service(installed_settings(data), SERVICES, add_rows))
    out.print(table)


def _cells(pending: DeadLetter) -> tuple[str, str, str, str]:
    event = (pending.topic, pending.type, pending.aggregate, pending.version)
    return (
        str(pending.id),
        " ".join(str(part) for part in event if part is not None),
        f"{pending.reason}: {pending.detail}",
        f"{pending.dead_lettered_at:%Y-%m-%d %H:%M}Z",
    )


def replay(
    service: ServiceName,
    ids: Annotated[list[int] | None, typer.Argument(help="Only these; default: all.")] = None,
    by: By = "operator",
    data: DataFolder = DATA,
) -> None:
    """Replay dead letters after their cause was removed. Replaying twice changes nothing."""
    built = build(service, installed_settings(data))
    replaying = messaging.replay(
        built.database,
        built.handlers,
        built.context,
        verifier=built.bus.consumer.event_verifier,
        by=by,
        only=ids or None,
    )
    applied, failed = run(replaying)
    out.print(f"{applied} applied, {failed} still pending")


def discard(
    service: ServiceName,
    ids: Annotated[list[int], typer.Argument(help="The dead letters to give up.")],
    by: By = "operator",
    data: DataFolder = DATA,
) -> None:
    """Give up dead letters that can never be applied, such as records of another program."""

    async def discard_in(_: str, tx: Transaction) -> None:
        discarded = [await messaging.discard(tx, entry_id, by=by) for entry_id in ids]
        out.print(f"{sum(discarded)} discarded")

    run(in_each_service(installed_settings(data), (service,), discard_in))
