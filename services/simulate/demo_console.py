"""What the demo prints: a progress bar with figures, and where to look at the end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from services.simulate.accounts import LEADER, OFFICE, SUPERVISOR
from services.simulate.demo_clock import DAYS
from shared.foundation.clock import CHINA

PLAIN_LINE_EVERY: Final = 10
"""Without a terminal, every tenth update prints a line instead of a bar."""
FIGURES: Final = ("open", "closed", "lapsed", "notifications")
PAGES_TO_VIEW: Final = (
    ("/scoring/", OFFICE, "rankings of the four categories as they change"),
    ("/casework/supervise", SUPERVISOR, "cases that are near, late or very late"),
    ("/notify/inbox", SUPERVISOR, "all notifications"),
    ("/scoring/", LEADER, "results to approve"),
    ("/p/", None, "the public pages"),
)
"""(path, account, description) of the pages to look at."""


class DemoConsole:
    """Shows the progress of a demo."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._updates = 0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(20),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=DAYS)

    def __enter__(self) -> "DemoConsole":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, days: float, line: str) -> None:
        """Show the number of days played and a line of figures."""
        self._progress.update(self._bar, completed=min(days, DAYS), description=line)
        if not self._console.is_terminal and self._updates % PLAIN_LINE_EVERY == 0:
            self._console.print(line)
        self._updates += 1

    def finish(self, line: str, base_url: str) -> None:
        """Print the last figures and the pages to look at."""
        self._progress.stop()
        table = Table(
            "look at",
            "as",
            title="The demo has caught up with today and continues quietly.",
            title_justify="left",
        )
        for path, account, description in PAGES_TO_VIEW:
            name = account.name if account else "anyone"
            table.add_row(f"{base_url}{path}  {description}", name)
        self._console.print(f"{line}\n", table)


def progress_line(
    day: int,
    now: datetime,
    sent: Mapping[str, int],
    figures: Mapping[str, object],
) -> str:
    """Return the line of figures of a demo."""
    shown = "  ".join(f"{name} {figures.get(name, 0)}" for name in FIGURES)
    return (
        f"[bold]day {min(day, DAYS)}/{DAYS}[/] {now.astimezone(CHINA):%m-%d %H:%M}"
        f"  complaints {sent['complaint']}  ballots {sent['ballot']}  visits {sent['visit']}"
        f"  {shown}"
    )
