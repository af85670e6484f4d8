"""The services as processes: started, killed, frozen, and brought back as an orchestrator would;
one address in front of them.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shared.embedded.machine import choose_port
from tests.faults.fork_server import ForkServer

ROOT = Path(__file__).parent.parent.parent
KEEP_SECONDS = 0.1
RESTART_SECONDS = 0.3
STOP_SECONDS = 30.0
READY_SECONDS = 120.0
PREFIXES = {"/casework": "casework", "/scoring": "scoring", "/notify": "notify"}


class Process:
    """One replica of one service. `lives`: failpoints of the next incarnations, one entry each;
    when they are used up it lives unarmed.
    """

    def __init__(
        self,
        service: str,
        number: int,
        env: Mapping[str, str],
        folder: Path,
        fork_server: ForkServer,
    ) -> None:
        self._fork_server = fork_server
        self.service, self.number = service, number
        self.port = choose_port()
        self.internal_port = choose_port([self.port])
        self.log = folder / f"{service}-{number}.log"
        self.lives: list[str] = []
        self.armed = ""
        self.wanted = False
        self.paused = False
        """Stays down for a while when it dies."""
        self.expected_end = False
        self.deaths: Counter[str] = Counter()
        """How often it died, by the failpoints that were armed ("" when somebody else killed it).
        """
        self.unexpected_exits: list[str] = []
        """Ends that nobody injected."""
        self.extra: dict[str, str] = {}
        """Environment of this replica alone."""
        self._env = dict(env)
        self._pid = 0
        self.started_at = 0.0

    def __repr__(self) -> str:
        return f"{self.service}-{self.number}"

    @property
    def pid(self) -> int | None:
        return self._pid if self._pid and self._fork_server.code(self._pid) is None else None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Start the next incarnation; it dies with this process."""
        self.armed = self.lives.pop(0) if self.lives else ""
        self.wanted, self.expected_end = True, False
        self.started_at = time.monotonic()
        env = {
            **os.environ,
            **self._env,
            **self.extra,
            "FENGPING_PORT": str(self.port),
            "FENGPING_INTERNAL_PORT": str(self.internal_port),
            "FENGPING_FAILPOINTS": self.armed,
        }
        self._pid = self._fork_server.start(
            self.service, env, self.log, fresh_interpreter="LD_PRELOAD" in env
        )

    def send(self, number: int) -> None:
        """A signal to it, if it lives."""
        if self.pid:
            self.expected_end = self.expected_end or number in (signal.SIGKILL, signal.SIGTERM)
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """SIGKILL, as a crash; the process group brings it back while it is wanted."""
        self.send(signal.SIGKILL)

    async def stop(self) -> float:
        """SIGTERM and wait; gives the seconds it took. Killed when it does not end in time."""
        self.wanted = False
        started = time.monotonic()
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        while self.alive and time.monotonic() - started < STOP_SECONDS:
            await asyncio.sleep(0.05)
        if self.alive:
            self.unexpected_exits.append(f"{self} did not end {STOP_SECONDS:.0f} s after SIGTERM")
            self.send(signal.SIGKILL)
        return time.monotonic() - started

    def note_end(self) -> None:
        """Write down how this incarnation ended."""
        code = self._fork_server.code(self._pid)
        if code == -signal.SIGKILL and (self.armed or self.expected_end):
            self.deaths[self.armed if not self.expected_end else ""] += 1
        elif not self.expected_end:
            self.unexpected_exits.append(f"{self} ended with {code}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])[-600:]

    @property
    def ended(self) -> bool:
        return self._pid != 0 and self._fork_server.code(self._pid) is not None


async def get(port: int, path: str, seconds: float = 5.0) -> tuple[int, str]:
    """(status, body) of a GET; (0, "") when there is no answer."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
                )
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0, ""
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    words = head.split(" ", 2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else (0, "")


class ProcessGroup:
    """All processes of an installation, kept running."""

    def __init__(self, env: Mapping[str, str], folder: Path, fork_server: ForkServer) -> None:
        self._env, self._folder, self._fork_server = env, folder, fork_server
        folder.mkdir(parents=True, exist_ok=True)
        self.all: list[Process] = []
        self.gateway = Gateway(self)
        self._keeping: asyncio.Task[None] | None = None

    def of(self, service: str) -> list[Process]:
        """The wanted replicas of a service."""
        return [process for process in self.all if process.service == service and process.wanted]

    async def start(self, services: Sequence[str]) -> None:
        """One replica of each, ready to serve; and the gateway."""
        await asyncio.to_thread(self._fork_server.ready.result, READY_SECONDS)
        for service in services:
            self.add(service)
        await self.gateway.start()
        self._keeping = asyncio.create_task(self._keep())
        await self.ready()

    def add(
        self, service: str, *, extra: Mapping[str, str] | None = None, lives: Sequence[str] = ()
    ) -> Process:
        """One more replica of a service, started."""
        number = 1 + max((p.number for p in self.all if p.service == service), default=0)
        process = Process(service, number, self._env, self._folder, self._fork_server)
        process.extra, process.lives = dict(extra or {}), list(lives)
        self.all.append(process)
        process.start()
        return process

    async def scale(self, replicas: int) -> None:
        """So many replicas of every service, ready to serve; those too many end in order."""
        for service in sorted({process.service for process in self.all}):
            here = self.of(service)
            resting = [
                process
                for process in self.all
                if process.service == service and not process.wanted and not process.alive
            ]
            for _ in range(replicas - len(here)):
                if resting:
                    resting.pop().start()
                else:
                    self.add(service)
            await asyncio.gather(*(process.stop() for process in here[replicas:]))
        await self.ready()

    async def ready(self, seconds: float = READY_SECONDS) -> float:
        """Wait until every wanted process answers `/livez`; gives the seconds it took. Raises
        TimeoutError.
        """
        started = time.monotonic()
        async with asyncio.timeout(seconds):
            for process in [p for p in self.all if p.wanted]:
                while process.wanted and (await get(process.internal_port, "/livez"))[0] != 200:
                    await asyncio.sleep(0.1)
        return time.monotonic() - started

    async def stop(self) -> None:
        """End everything this group started."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self.all if process.alive))
        await self.gateway.stop()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            for process in self.all:
                if process.wanted and process.ended and not process.paused:
                    process.note_end()
                    await asyncio.sleep(RESTART_SECONDS)
                    if process.wanted:
                        process.start()

    @property
    def unexpected_exits(self) -> list[str]:
        return [word for process in self.all for word in process.unexpected_exits]

    @property
    def deaths(self) -> Counter[str]:
        """Deaths by armed failpoints, over all processes."""
        total: Counter[str] = Counter()
        for process in self.all:
            total += process.deaths
        return total

    @property
    def logs(self) -> list[Path]:
        return [process.log for process in self.all]


class Gateway:
    """One address for all services: a connection per request, by path to a replica in turn, to the
    next when one does not answer.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            behind = await self._reach(head, writer.get_extra_info("peername")[0])
            if behind is None:
                writer.write(
                    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            else:
                behind[1].write(_closing(head))
                await _splice(reader, writer, *behind)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _reach(
        self, head: bytes, source: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        path = head.split(b" ", 2)[1].decode()
        service = next(
            (name for prefix, name in PREFIXES.items() if path.startswith(prefix)), "intake"
        )
        replicas = self._group.of(service)
        random.shuffle(replicas)
        for replica in replicas:
            with suppress(OSError, TimeoutError):
                return await asyncio.wait_for(
                    asyncio.open_connection("127.0.0.1", replica.port, local_addr=(source, 0)), 2
                )
        return None


def _closing(head: bytes) -> bytes:
    """The request's head, asking for one answer on this connection."""
    lines = [
        line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")
    ]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _splice(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    back_reader: asyncio.StreamReader,
    back_writer: asyncio.StreamWriter,
) -> None:
    """Carry the rest of the request there and the whole answer back."""
    there = asyncio.create_task(_carry(reader, back_writer))
    try:
        await _carry(back_reader, writer)
    finally:
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)
        back_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
