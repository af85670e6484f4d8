"""Serves a witness until it is asked to stop."""

from pathlib import Path
from typing import Final

import uvicorn

from services.witness.app import build
from services.witness.store import WitnessFolder

NAME: Final = "fengping-witness"
KEEP_ALIVE_SECONDS: Final = 10
CONNECTIONS_MAX: Final = 64


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    logs: Path | None = None,
    name: str = NAME,
) -> None:
    """Print the public key of the witness in `folder` and serve it.

    `logs`: the file of trusted logs, if it is not in `folder`.
    """
    store = WitnessFolder(folder, name, logs)
    print(store.key.text, flush=True)
    uvicorn.run(
        build(store),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
