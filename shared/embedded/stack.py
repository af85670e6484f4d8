"""The three servers of one data folder: ports and passwords, start, supervision, stop."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from shared.embedded.jars import Progress, cache_folder, fetch_jars
from shared.embedded.kafka import Broker, Cluster, class_cache, new_cluster_id, train
from shared.embedded.machine import SetupError, check_disk, check_machine, choose_port, port_is_free
from shared.embedded.postgres import Postgres
from shared.embedded.process import ServerProcess
from shared.embedded.valkey import Valkey

T = TypeVar("T")
ALL = frozenset({"postgres", "valkey", "kafka"})
TRAIN_AFTER_SECONDS = 30.0
SUPERVISE_INTERVAL_SECONDS = 1.0
RESTART_FAILURES_MAX = 5


def no_progress(
    step: str,
    done: int,
    total: int,
) -> None:
    """Ignore the progress."""


async def do_nothing(_: str) -> None:
    """Ignore the restart of a server."""


class Stack:
    """PostgreSQL, Valkey and Apache Kafka of one data folder, or those of them named in `start`.

    A port of 0 is chosen once and stored in `data`/ports.json, passwords in `data`/secrets.json
    (mode 0600), so that the next start uses the same. All listen on 127.0.0.1 only. With
    `brokers=3` topics may have three replicas, two of which must store a write before it is
    acknowledged. Addresses are known after the first start; another process may read them from a
    Stack of the same folder without starting it.
    """

    def __init__(
        self,
        data: Path,
        *,
        postgres_port: int = 0,
        valkey_port: int = 0,
        kafka_ports: Iterable[int] = (0,),
        brokers: int = 1,
        start: Collection[str] = ALL,
    ) -> None:
        if not set(start) <= ALL:
            raise ValueError(f"start names servers among {sorted(ALL)}, not {sorted(start)}")
        self.data = Path(data).absolute()
        self.parts = frozenset(start)
        self._wanted = {"postgres": postgres_port, "valkey": valkey_port}
        self._wanted |= wanted_kafka_ports(kafka_ports, brokers)
        self._lock: IO[str] | None = None
        self._training: asyncio.Task[None] | None = None
        self._cancelled = threading.Event()
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._brokers: tuple[Broker, ...] = ()
        if self._ports_file.exists() and self._secrets_file.exists():
            self._build()

    @property
    def _ports_file(self) -> Path:
        return self.data / "ports.json"

    @property
    def _secrets_file(self) -> Path:
        return self.data / "secrets.json"

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL server."""
        return require_started(self._postgres)

    @property
    def valkey(self) -> Valkey:
        """The Valkey server."""
        return require_started(self._valkey)

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The Kafka brokers; number i has node id i + 1."""
        return require_started(self._brokers or None)

    @property
    def postgres_url(self) -> str:
        """postgresql://fengping:...@127.0.0.1:port/fengping; the role owns the database."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """redis://:...@127.0.0.1:port/0."""
        return self.valkey.url

    @property
    def kafka_servers(self) -> list[str]:
        """host:port of every broker."""
        return [broker.server for broker in self.brokers]

    @property
    def kafka_admin_password(self) -> str:
        """The password of the administrator of Kafka, `fengping-admin`."""
        return str(read(self._secrets_file)["kafka_admin_password"])

    @property
    def servers(self) -> list[ServerProcess]:
        """The servers that this stack starts."""
        if not self._brokers:
            return []
        named: dict[str, list[ServerProcess]] = {
            "postgres": [self.postgres],
            "valkey": [self.valkey],
            "kafka": [*self.brokers],
        }
        return [server for part in sorted(self.parts) for server in named[part]]

    @asynccontextmanager
    async def running(self, progress: Progress = no_progress) -> AsyncIterator[Stack]:
        """Start the servers for the block, and stop them after it."""
        await self.start(progress)
        try:
            yield self
        finally:
            await self.stop()

    async def start(self, progress: Progress = no_progress) -> None:
        """Start the servers that do not run and wait until all answer.

        Raises SetupError; then none is left running.
        """
        check_machine()
        self._cancelled.clear()
        try:
            self._lock_folder()
            check_disk(self.data)
            await asyncio.to_thread(self._prepare_folder)
            await self._start_all(progress)
        except BaseException:
            self._cancelled.set()
            self._kill_all()
            self._unlock_folder()
            raise
        progress("ready", 1, 1)

    async def stop(self) -> None:
        """Stop all servers, each with its own signal, and wait until they have ended."""
        try:
            await self._end_training()
            await gather_all(server.stop() for server in self.servers)
        finally:
            self._kill_all()
            self._unlock_folder()

    async def supervise(
        self,
        on_restart: Callable[[str], None] = lambda name: None,
        after_restart: Callable[[str], Awaitable[None]] = do_nothing,
    ) -> None:
        """Restart servers that crash, until cancelled.

        `on_restart` receives the name before the restart, `after_restart` when the server is ready.
        Raises SetupError if one cannot be started RESTART_FAILURES_MAX times in a row.
        """
        failures = 0
        while True:
            await asyncio.sleep(SUPERVISE_INTERVAL_SECONDS)
            for server in self.servers:
                if not server.crashed:
                    continue
                on_restart(server.name)
                try:
                    await server.start()
                    await after_restart(server.name)
                    failures = 0
                except SetupError:
                    failures += 1
                    server.should_run = True
                    if failures >= RESTART_FAILURES_MAX:
                        raise

    async def _start_all(self, progress: Progress) -> None:
        starts = {
            "postgres": lambda: start_server(self.postgres, progress),
            "valkey": lambda: start_server(self.valkey, progress),
            "kafka": lambda: self._start_kafka(progress),
        }
        await gather_all(starts[part]() for part in sorted(self.parts))

    async def _start_kafka(self, progress: Progress) -> None:
        cache = cache_folder(self.data)
        await asyncio.to_thread(fetch_jars, cache, progress, self._cancelled)
        await gather_all(start_server(broker, progress) for broker in self.brokers)
        self._training = asyncio.create_task(self._train())

    async def _train(self) -> None:
        cache = cache_folder(self.data)
        # It only makes later starts faster: a failure does not matter.
        with suppress(OSError, SetupError):
            if class_cache(cache).exists():
                return
            # The first start has the processors to itself; a short-lived stack is never trained.
            cancelled = await asyncio.to_thread(self._cancelled.wait, TRAIN_AFTER_SECONDS)
            if not cancelled:
                await asyncio.to_thread(train, cache, self._cancelled)

    async def _end_training(self) -> None:
        self._cancelled.set()
        if self._training is not None:
            await self._training
            self._training = None

    def _lock_folder(self) -> None:
        """Lock the data folder for this process; the kernel releases the lock when it ends."""
        if self._lock is not None:
            return
        lock = self._open_lock_file()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._folder_in_use(lock) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _open_lock_file(self) -> IO[str]:
        try:
            # Others may pass through, not look: as root PostgreSQL runs as another user.
            self.data.mkdir(mode=0o711, parents=True, exist_ok=True)
            return (self.data / "lock").open("a+")
        except OSError as error:
            raise SetupError(
                f"the data folder {self.data} cannot be written ({error.strerror})",
                "Run as its owner or choose another data folder",
            ) from error

    def _folder_in_use(self, lock: IO[str]) -> SetupError:
        with lock:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
        return SetupError(
            f"the data folder {self.data} is in use by process {holder}",
            "Stop that one first or choose another data folder",
        )

    def _unlock_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare_folder(self) -> None:
        """Create ports and passwords where missing, unless servers run."""
        if any(server.alive for server in self.servers):
            return
        if self._brokers:
            for server in self.servers:
                server.end_predecessor()
        write_private(self._secrets_file, read(self._secrets_file) or new_secrets())
        write_private(self._ports_file, self._choose_ports(read(self._ports_file)))
        self._build()

    def _choose_ports(self, kept: dict[str, Any]) -> dict[str, int]:
        """Return wanted, else stored, else free ports. An occupied stored port is replaced."""
        self._check_same_brokers(kept)
        chosen: dict[str, int] = {}
        for name, asked in self._wanted.items():
            port = asked or int(kept.get(name, 0))
            if not asked and not (port and port_is_free(port)):
                port = choose_port(chosen.values())
            chosen[name] = port
        return chosen

    def _check_same_brokers(self, kept: dict[str, Any]) -> None:
        brokers = broker_names(kept)
        if brokers and brokers != broker_names(self._wanted):
            raise SetupError(
                f"the data folder {self.data} holds a cluster of {len(brokers)} broker(s)",
                "Start it with as many brokers, or choose another data folder",
            )

    def _build(self) -> None:
        ports = read(self._ports_file)
        passwords = read(self._secrets_file)
        self._postgres = Postgres(
            self.data,
            ports["postgres"],
            password=passwords["postgres_password"],
            superuser_password=passwords["postgres_superuser_password"],
        )
        self._valkey = Valkey(self.data, ports["valkey"], password=passwords["valkey_password"])
        self._brokers = self._build_brokers(ports, passwords)

    def _build_brokers(
        self,
        ports: dict[str, int],
        passwords: dict[str, str],
    ) -> tuple[Broker, ...]:
        nodes = sorted(int(name.partition("-")[2]) for name in broker_names(ports))
        client_ports = tuple(ports[f"kafka-{node}"] for node in nodes)
        controller_ports = tuple(ports[f"controller-{node}"] for node in nodes)
        cluster = Cluster(
            passwords["kafka_cluster_id"],
            client_ports,
            controller_ports,
            password=passwords["kafka_password"],
            admin_password=passwords["kafka_admin_password"],
        )
        cache = cache_folder(self.data)
        return tuple(Broker(self.data, node, cluster, cache) for node in nodes)

    def _kill_all(self) -> None:
        for server in self.servers:
            server.kill()


async def prepare(cache: Path, progress: Progress = no_progress) -> None:
    """Download Kafka's jars and create its class cache in advance. Raises SetupError."""
    check_machine()
    cancelled = threading.Event()
    await asyncio.to_thread(fetch_jars, cache, progress, cancelled)
    progress("classes", 0, 1)
    await asyncio.to_thread(train, cache, cancelled)
    progress("classes", 1, 1)


async def start_server(server: ServerProcess, progress: Progress) -> None:
    """Start `server` and report it. Raises SetupError."""
    progress(server.name, 0, 1)
    await server.start()
    progress(server.name, 1, 1)


async def gather_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once and wait for every one; then raise the first failure, if any."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def require_started(value: T | None) -> T:
    """Return a server of this stack. Raises RuntimeError before the first start of its folder."""
    if value is None:
        raise RuntimeError("the stack has not been started in this data folder yet")
    return value


def broker_names(ports: Iterable[str]) -> set[str]:
    """Return the names of the brokers among the names of all ports."""
    return {name for name in ports if name.startswith("kafka-")}


def wanted_kafka_ports(client_ports: Iterable[int], brokers: int) -> dict[str, int]:
    """Return the wanted ports by name; 0 where any port will do."""
    given = dict(enumerate(client_ports, 1))
    nodes = range(1, brokers + 1)
    wanted = {f"kafka-{node}": given.get(node, 0) for node in nodes}
    return wanted | {f"controller-{node}": 0 for node in nodes}


def new_secrets() -> dict[str, str]:
    """Return the passwords of one data folder, and the id of its Kafka cluster."""
    names = ("postgres_password", "postgres_superuser_password", "valkey_password")
    kafka = ("kafka_password", "kafka_admin_password")
    passwords = {name: secrets.token_hex(24) for name in (*names, *kafka)}
    return passwords | {"kafka_cluster_id": new_cluster_id()}


def read(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`; empty if there is no file."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def write_private(file: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON atomically, readable by the owner only."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(content, indent=1))
    new.replace(file)
