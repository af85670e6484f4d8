"""`python -m shared.embedded`: download Kafka's jars and create its class cache."""

import asyncio
import sys
import tempfile
from pathlib import Path

from shared.embedded import SetupError, cache_folder, prepare


def show(step: str, done: int, total: int) -> None:
    """Print one line per step, updated in place."""
    print(f"\r{step} {done}/{total}", end="\n" if done == total else "", flush=True)


def main() -> None:
    try:
        asyncio.run(prepare(cache_folder(Path(tempfile.gettempdir())), show))
    except SetupError as error:
        sys.exit(f"fengping: {error}")


if __name__ == "__main__":
    main()
