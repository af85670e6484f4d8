"""The witness of an embedded installation: a child process with a folder and a key of its own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from shared.embedded import SetupError
from shared.embedded.machine import choose_port, port_is_free
from shared.embedded.process import ProcessUser, environment, launcher
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.security.service_keys import service_keys
from shared.storage.schema import SERVICES

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.1
START_POLLS: Final = 600
"""A minute."""
STOP_SECONDS: Final = 10.0
SUPERVISE_SECONDS: Final = 2.0
READABLE: Final = 0o644
"""The witness is another user, and the keys are public."""


def trust_logs(file: Path, settings: Settings) -> None:
    """Add the public keys of this installation's logs to a witness's file of trusted logs."""
    known = file.read_text().splitlines() if file.exists() else []
    lines = list(known)
    for service in SERVICES:
        verifier = service_keys(service, settings).signing.signer(service).verifier
        lines += [line for line in verifier.key_lines() if line not in lines]
    if lines != known:
        file.write_text("\n".join(lines) + "\n")
        file.chmod(READABLE)


class WitnessProcess:
    """Starts the witness in `data`/witness and restarts it when it ends."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "witness"
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens; empty before its first start."""
        file = self.folder / "port"
        return f"http://{HOST}:{file.read_text().strip()}" if file.exists() else ""

    def choose_port(self) -> None:
        """Choose a free port and keep it for later starts."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.folder / "port"
        if not file.exists() or not port_is_free(int(file.read_text())):
            file.write_text(str(choose_port(())))

    def trust(self, settings: Settings) -> None:
        """Add the keys of this installation's logs to those that the witness believes."""
        trust_logs(self.folder / "logs.txt", settings)

    @asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[None]:
        """Run the witness for the block. Raises SetupError if it does not start."""
        self.trust(settings)
        await self._start()
        supervising = asyncio.create_task(self._supervise(settings))
        try:
            await self._wait_until_ready()
            yield
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
            await self._stop()

    async def _start(self) -> None:
        port = (self.folder / "port").read_text().strip()
        program = [sys.executable, "-m", "services.witness", str(self.folder), HOST, port]
        command = launcher(program, self.folder, ProcessUser(), signal.SIGTERM)
        paths = os.pathsep.join(filter(None, sys.path))
        with (self.folder / "witness.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=environment(self.folder) | {"PYTHONPATH": paths},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _supervise(self, settings: Settings) -> None:
        while True:
            await asyncio.sleep(SUPERVISE_SECONDS)
            self.trust(settings)
            if self._process is not None and self._process.returncode is not None:
                log.warning("witness ended, restarting")
                await self._start()

    async def _wait_until_ready(self) -> None:
        port = int((self.folder / "port").read_text())
        for _ in range(START_POLLS):
            if await _answers(port):
                return
            await asyncio.sleep(POLL_SECONDS)
        hint = f"Read {self.folder / 'witness.log'}"
        raise SetupError("the witness does not start", hint)

    async def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
