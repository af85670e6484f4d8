"""The ledger of a load: what was sent and what the system acknowledged."""

import asyncio
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.simulate.client import Json
from shared.foundation.clock import real_now


class Ledger:
    """JSON lines, each on disk before `note` returns; concurrent lines share one fsync.

    The file holds questionnaire codes: only its owner can read it.
    """

    def __init__(self, path: Path) -> None:
        self.lines = read_ledger(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._syncing = asyncio.Lock()

    async def note(self, **fields: Any) -> None:
        """Append one line and wait until it is on disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((_encode(fields), done))
        async with self._syncing:
            if not done.done():
                await self._sync()
        await done

    async def _sync(self) -> None:
        batch = self._waiting
        self._waiting = []
        await asyncio.to_thread(self._write, b"".join(line for line, _ in batch))
        for _, done in batch:
            done.set_result(None)

    def _write(self, lines: bytes) -> None:
        os.write(self._file, lines)
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _encode(fields: Json) -> bytes:
    record = {**fields, "at": real_now().isoformat()}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def read_ledger(path: Path) -> list[Json]:
    """Return the complete lines of a ledger in order; [] if there is none.

    A last line that a kill cut off is ignored.
    """
    if not path.exists():
        return []
    complete = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in complete if line]


def acknowledged(lines: Iterable[Json]) -> dict[int, Json]:
    """Return the lines of acknowledged operations by operation number."""
    return {line["id"]: line for line in lines if line["state"] == "acknowledged"}
