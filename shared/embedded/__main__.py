"""`python -m shared.embedded`: download Kafka's jars and create its class cache."""

import asyncio
import sys
import tempfile
from pathlib import Path

from shared.embedded import SetupError, cache_folder, prepare


def show(
    step: str,
    done: int,
    total: int,
) -> None:
    """Print one line per step, updated in place."""
    end = "\n" if done == total else ""
    print(f"\r{step} {done}/{total}", end=end, flush=True)


def main() -> None:
    """Prepare the cache of this user; an expected error is one sentence."""
    try:
        asyncio.run(prepare(cache_folder(Path(tempfile.gettempdir())), show))
    except SetupError as error:
        sys.exit(f"fengping: {error}")


if __name__ == "__main__":
    main()
