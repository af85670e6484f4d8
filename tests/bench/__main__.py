"""`python -m tests.bench [--quick] [NAME …]`: run the measurements and print the table."""

import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import uvloop

from shared.embedded import Stack
from shared.foundation.telemetry import configure_logging
from tests.bench.world import Figure, World, machine

MODULES = ("relay", "ballots", "complaints", "deadlines", "installation")


def chosen(names: list[str]) -> list:
    benches = [
        bench for module in MODULES for bench in import_module(f"tests.bench.{module}").BENCHES
    ]
    return [
        bench
        for bench in benches
        if not names or bench.__name__ in names or bench.__module__.rsplit(".", 1)[1] in names
    ]


async def measure(names: list[str], *, quick: bool) -> list[Figure]:
    """Run the named measurements (all when none is named) on servers of their own."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fengping-bench-") as folder:
        Path(folder).chmod(0o755)
        async with Stack(Path(folder) / "servers").running() as servers:
            world = World(servers, Path(folder), quick=quick)
            for bench in chosen(names):
                print(
                    f"… {bench.__module__.rsplit('.', 1)[1]}.{bench.__name__}",
                    file=sys.stderr,
                    flush=True,
                )
                figures += await bench(world)
            await world.close()
    return figures


def main() -> None:
    words = sys.argv[1:]
    configure_logging("ERROR")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(
            measure([w for w in words if w != "--quick"], quick="--quick" in words)
        )
    print(f"\nMeasured on {machine()}\n\n| what | figure | goal | |\n|---|---|---|---|")
    print("\n".join(figure.row() for figure in figures))


if __name__ == "__main__":
    main()
