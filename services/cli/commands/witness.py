"""`fengping witness`: run a witness of audit logs."""

from pathlib import Path
from typing import Annotated

import typer


def witness(
    folder: Annotated[
        Path,
        typer.Option(envvar="FENGPING_WITNESS_FOLDER", help="Its key, state and trusted logs."),
    ] = Path("witness"),
    host: Annotated[str, typer.Option(envvar="FENGPING_WITNESS_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="FENGPING_WITNESS_PORT")] = 8090,
    logs: Annotated[
        Path | None,
        typer.Option(envvar="FENGPING_WITNESS_LOGS", help="Trusted logs, if not in FOLDER."),
    ] = None,
) -> None:
    """Cosign checkpoints of the logs in FOLDER/logs.txt that continue what was seen before.

    Run it as another owner, best on another machine: it must not share an administrator with the
    database.
    """
    from services.witness.server import serve

    serve(folder, host=host, port=port, logs=logs)
