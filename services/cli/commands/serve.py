"""`fengping serve`: run one service."""

import os
import sys
from typing import Annotated

import typer

from services.cli.console import check_service, run
from services.cli.installation import build
from shared.foundation.failpoints import failpoint
from shared.foundation.settings import Settings
from shared.foundation.telemetry import configure_logging
from shared.storage.schema import SERVICES

NOT_STARTED = 3
"""Exit status of a server that could not start."""


def serve(
    name: Annotated[
        str, typer.Argument(help=f"One of {', '.join(SERVICES)}.", callback=check_service)
    ],
) -> None:
    """Run one service against the servers named in the environment (FENGPING_DATABASE_URL …)."""
    settings = Settings()
    configure_logging(settings.log_level)
    if settings.environment == "test":
        failpoint.arm(os.environ.get("FENGPING_FAILPOINTS", ""))
    run(_serve(name, settings))


async def _serve(name: str, settings: Settings) -> None:
    from services.cli.server import NotStarted, serving, stop_event

    service = build(name, settings)
    stopping = stop_event()
    try:
        async with serving(service.app, [service], settings):
            await stopping.wait()
    except NotStarted:
        sys.exit(NOT_STARTED)
