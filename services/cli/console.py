"""What the commands share: output, progress and the event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from services.cli.installation import build
from services.cli.system_user import act_as_owner
from shared.foundation.settings import Settings
from shared.storage.schema import SERVICES
from shared.storage.transaction import Transaction

T = TypeVar("T")

out: Final = Console(stderr=False)
err: Final = Console(stderr=True)

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Folder of the embedded servers' data.",
        callback=act_as_owner,
        # access(2) knows nothing of the capability that a process keeps which was root.
        readable=False,
    ),
]
DATA: Final = Path(".fengping")


def check_service(name: str) -> str:
    """Return the name of a service; any other text is an invalid argument."""
    if name not in SERVICES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(SERVICES)}")
    return name


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def in_each_service(
    settings: Settings,
    services: tuple[str, ...],
    work: Callable[[str, Transaction], Awaitable[None]],
) -> None:
    """Await `work(name, tx)` in a transaction of each service.

    Of several services, those whose keys are not on this machine are left out with a message.
    """
    for name in services:
        if len(services) > 1 and not settings.keys_of(name).exists():
            err.print(f"{name}: its keys are not here; run this where they are")
            continue
        service = build(name, settings)
        async with service.database.transaction(service.context) as tx:
            await work(name, tx)
        await service.database.close()


class StepProgress:
    """Shows the progress of several named steps."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.completed}/{task.total}"),
            console=out,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StepProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop updating the terminal."""
        self._progress.stop()

    def __call__(
        self,
        step: str,
        done: int,
        total: int,
    ) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)
