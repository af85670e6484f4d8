"""The cluster on one machine: compose takes the file, the gateway routes as the services declare,
and what is named exists.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx2
import pytest
import yaml

from services.notify.settings import NotifySettings
from shared.embedded import postgres, valkey
from shared.embedded.machine import choose_port
from shared.foundation.settings import Settings
from shared.security.oidc import OidcSettings
from shared.storage.migrations import migrate
from shared.storage.schema import SERVICES
from tests.conftest import named, on_server
from tests.deploy.routes import bodies
from tests.deploy.tools import DEPLOY, ROOT, output_of, program

EXAMPLE = DEPLOY / "compose/.env.example"
SECRETS = {
    "POSTGRES_SUPERUSER_PASSWORD": "s0",
    "POSTGRES_PASSWORD": "p0",
    "POSTGRES_MONITOR_PASSWORD": "m0",
    "REDIS_PASSWORD": "r0",
    "GRAFANA_PASSWORD": "g0",
}


def example() -> dict[str, str]:
    lines = [
        line
        for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return dict(line.split("=", 1) for line in lines)


def compose(also: str = "", **values: str) -> dict:
    """docker-compose.yml as Compose itself understands it, with the example's values and these."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        **example(),
        **SECRETS,
        **values,
    }
    return json.loads(
        output_of(
            "docker-compose",
            "-f",
            ROOT / "docker-compose.yml",
            *(["-f", ROOT / also] if also else []),
            "config",
            "--format",
            "json",
            environment=variables,
        )
    )


@pytest.fixture(scope="module")
def services() -> dict[str, dict]:
    return compose()["services"]


def test_compose_file_is_valid_and_defines_every_service(services):
    assert {
        *SERVICES,
        "migrate",
        "gateway",
        "postgres",
        "redis",
        "kafka",
        "keys",
        "witness",
        "prometheus",
        "alertmanager",
        "grafana",
    } <= services.keys()


@pytest.mark.parametrize("name", SECRETS)
def test_compose_refuses_to_start_without_a_secret(name):
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **SECRETS, name: ""}
    command = [program("docker-compose"), "-f", str(ROOT / "docker-compose.yml"), "config", "-q"]

    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)

    assert done.returncode != 0
    assert name in done.stderr


def test_the_example_names_every_variable_of_the_file_and_no_other():
    files = ("docker-compose.yml", "deploy/compose/oidc.yml")
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    used = set(re.findall(r"\$\{(\w+)", text)) - {"FENGPING_VERSION"}

    assert example().keys() == used
    assert {name for name, value in example().items() if not value} >= SECRETS.keys()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    assert {name: value for name, value in example().items() if name in defaults and value} == {
        name: value for name, value in defaults.items() if name in example() and value
    }


def test_every_variable_of_a_service_is_a_setting(services):
    common = {f"FENGPING_{name.upper()}" for name in Settings.model_fields}
    of_notify = {f"FENGPING_NOTIFY_{name.upper()}" for name in NotifySettings.model_fields}

    for name in (*SERVICES, "migrate"):
        given = services[name]["environment"]
        assert given.keys() <= common | (of_notify if name == "notify" else set()), name
        Settings(
            **{
                key.removeprefix("FENGPING_").lower(): value
                for key, value in given.items()
                if key in common
            }
        )
    own = {
        key: value for key, value in services["notify"]["environment"].items() if key in of_notify
    }
    NotifySettings(
        **{key.removeprefix("FENGPING_NOTIFY_").lower(): value for key, value in own.items()}
    )


def test_dependencies_exist_and_have_health_checks(services):
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in {"service_healthy", "service_completed_successfully"}, name
            if how["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"], f"{name} waits for {other}"
    assert {services[name]["depends_on"]["migrate"]["condition"] for name in SERVICES} == {
        "service_completed_successfully"
    }


def test_images_have_a_version_and_mounted_files_exist(services):
    for name, service in services.items():
        tag = service["image"].rpartition("/")[2].partition(":")[2]
        assert re.search(r"\d", tag), f"{name}: {service['image']}"
        for mount in service.get("volumes", []):
            assert mount["type"] != "bind" or Path(mount["source"]).exists(), mount["source"]
            assert mount["type"] != "bind" or mount["read_only"], mount["source"]


def test_containers_are_restricted_as_in_kubernetes(services):
    for name in (*SERVICES, "migrate", "keys", "witness"):
        service = services[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["mem_limit"]) >= 2**29
        assert "ports" not in service
        assert service["stop_grace_period"] == "40s"


def test_only_the_gateway_and_grafana_are_open_and_only_four_reach_the_outside(services):
    assert {name for name, service in services.items() if "ports" in service} == {
        "gateway",
        "grafana",
    }
    assert {name for name, one in services.items() if "outside" in one["networks"]} == {
        "gateway",
        "grafana",
        "notify",
        "alertmanager",
    }


def test_witness_is_another_user_who_reaches_nothing_and_keeps_its_own_key(services):
    witness = services["witness"]
    volumes = {each["target"]: each for each in witness["volumes"]}

    assert witness["user"] == "10002:10002"
    assert not witness.get("environment")
    assert set(witness["networks"]) == {"to-witness"}
    assert volumes.keys() == {"/witness", "/witness-logs"}
    assert volumes["/witness-logs"]["read_only"]
    holders = {
        name
        for name, one in services.items()
        for each in one.get("volumes", [])
        if each["source"] == "witness"
    }
    assert holders == {"witness"}, "nobody else holds its key and what it has seen"
    reached = {name for name, one in services.items() if "to-witness" in one["networks"]}
    assert reached == {*SERVICES, "migrate", "keys", "witness"}
    for name in SERVICES:
        assert services[name]["environment"]["FENGPING_WITNESS_URL"] == "http://witness:8090"
    logs = services["migrate"]["environment"]["FENGPING_WITNESS_LOGS"]
    assert witness["command"][-1] == logs


def test_servers_have_the_settings_of_the_embedded_ones(services):
    database, cache = (" ".join(services[name]["command"]) for name in ("postgres", "redis"))

    for name in (
        "jit",
        *(name for name in postgres.SETTINGS if name.startswith("log_") and name != "log_timezone"),
    ):
        assert f"-c {name}={postgres.SETTINGS[name]}" in database
    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        assert f"--{name} {valkey.SETTINGS[name]}" in cache


def mounts(service: dict) -> dict[str, bool]:
    """Mounted folders of keys, and whether each can be written."""
    volumes = [each for each in service.get("volumes", []) if each["target"].startswith("/keys/")]
    return {each["target"].rpartition("/")[2]: not each.get("read_only") for each in volumes}


def test_kafka_is_reached_with_tls_and_a_password_that_no_command_line_shows(services):
    for name in (*SERVICES, "migrate"):
        given = services[name]["environment"]
        assert given["FENGPING_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert given["FENGPING_KAFKA_CA_FILE"] == "/keys/authorities/kafka.crt"
        assert mounts(services[name])["authorities"] is False
    command = " ".join(services["kafka"]["command"])
    assert "server.properties" in command
    assert "@/keys/broker/users" in command
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert "PLAINTEXT" not in text
    assert "sasl.password" not in text


def test_keys_of_the_broker_and_its_administrator_are_mounted_where_they_are_needed(services):
    holders = {
        key: {name for name, one in services.items() if key in mounts(one)}
        for key in ("admin", "broker", "monitor")
    }

    assert holders == {
        "admin": {"keys", "migrate"},
        "broker": {"keys", "kafka"},
        "monitor": {"keys", "migrate", "kafka-exporter"},
    }
    written = {
        key for name in ("kafka", "kafka-exporter", *SERVICES) for key in mounts(services[name])
    }
    assert not any(mounts(services[name]).get(key) for name in SERVICES for key in written)


def test_prometheus_scrapes_existing_containers(services):
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    hosts = {
        target.partition(":")[0]
        for job in scraped
        for one in job["static_configs"]
        for target in one["targets"]
    }

    assert hosts - {"localhost"} <= services.keys()


def test_identity_provider_is_reached_by_intake_alone():
    variables = {
        "OIDC_ISSUER": "https://login.example",
        "OIDC_CLIENT_ID": "fengping",
        "OIDC_CLIENT_SECRET_FILE": "/srv/oidc-secret",
    }
    services = compose(also="deploy/compose/oidc.yml", **variables)["services"]

    settings = services["intake"]["environment"]
    assert settings["FENGPING_OIDC_ISSUER"] == "https://login.example"
    assert settings["FENGPING_DATABASE_URL"], "the common settings stay"
    assert services["intake"]["networks"].keys() == {"inside", "outside", "to-witness"}
    assert not any("OIDC" in str(services[name]) for name in ("casework", "scoring", "notify"))
    names = {name.removeprefix("FENGPING_OIDC_").lower() for name in settings if "OIDC" in name}
    assert names <= OidcSettings.model_fields.keys()


# ── the gateway ───────────────────────────────────────────────────────────────────────────────────


def prefixes(service: str) -> tuple[str, ...]:
    declared = getattr(import_module(f"services.{service}.app"), "PREFIXES", None)
    return declared or (f"/{service}",)


def gateway(folder: Path, port: int, upstreams: dict[str, int], **values: str) -> Path:
    """The committed configuration inside a whole one, on loopback. Debian's nginx is older than the
    image's: it resolves names once.
    """
    text = (DEPLOY / "compose/gateway.conf").read_text(encoding="utf-8")
    for name, value in compose(**values)["services"]["gateway"]["environment"].items():
        text = text.replace(f"${{{name}}}", value)
    assert "${" not in text
    for service, upstream in upstreams.items():
        text = text.replace(f"server {service}:8080 resolve;", f"server 127.0.0.1:{upstream};")
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    assert ":8080" not in text
    kinds = " ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;\n"
        f"events {{ worker_connections 64; }}\nhttp {{ {kinds}\n{text}\n}}\n"
    )
    return file


async def answering(name: str, seen: list[str]) -> asyncio.Server:
    """Return an HTTP server that answers with its name and records the requests in `seen`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}".encode()
        )
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@asynccontextmanager
async def running_gateway(
    folder: Path, **values: str
) -> AsyncIterator[tuple[httpx2.AsyncClient, list[str]]]:
    seen: list[str] = []
    servers = {name: await answering(name, seen) for name in SERVICES}
    spare = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = spare.sockets[0].getsockname()[1]
    spare.close()
    await spare.wait_closed()
    file = gateway(
        folder,
        port,
        {name: server.sockets[0].getsockname()[1] for name, server in servers.items()},
        **values,
    )
    process = await asyncio.create_subprocess_exec(
        program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(file)
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await until_it_answers(client, process)
            yield client, seen
    finally:
        process.terminate()
        await process.wait()
        for server in servers.values():
            server.close()


async def until_it_answers(client: httpx2.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, "nginx ended"
            try:
                await client.get("/livez")
                return
            except httpx2.ConnectError:
                await asyncio.sleep(0.1)


async def test_the_gateway_routes_every_prefix_a_service_declares(tmp_path):
    async with running_gateway(tmp_path) as (client, seen):
        asked = {
            path: (await client.get(path)).text
            for service in SERVICES
            for prefix in prefixes(service)
            for path in (prefix, f"{prefix.rstrip('/')}/api/x")
        }
        beside = (await client.get("/caseworker")).text
        await client.get(
            "/p/", headers={"X-Forwarded-For": "203.0.113.9", "Host": "fengping.example:8443"}
        )
        alive = await client.get("/livez")
        too_large = (
            await client.post("/intake/api/complaints", content=b"x" * (12 * 2**20 + 1))
        ).status_code

    assert asked == {
        path: service
        for service in SERVICES
        for p in prefixes(service)
        for path in (p, f"{p.rstrip('/')}/api/x")
    }
    assert beside == "intake"
    assert (alive.status_code, alive.text) == (200, "alive\n")
    assert too_large == 413
    last = seen[-1].lower()
    assert "x-forwarded-for: 127.0.0.1\r\n" in last, (
        "an address that a client made up is not believed"
    )
    assert "host: fengping.example:8443\r\n" in last, "links are made with the port people use"


async def test_only_the_trusted_proxy_may_set_the_client_address(tmp_path):
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
    async with running_gateway(tmp_path, FENGPING_PROXY_NETWORK="127.0.0.0/8") as (client, seen):
        await client.get("/p/", headers=forwarded)

    assert "x-forwarded-for: 203.0.113.9\r\n" in seen[-1].lower(), (
        "who called the proxy; what stands before was made up"
    )


async def test_gateway_admits_each_route_s_body_limit(tmp_path):
    async with running_gateway(tmp_path) as (client, _):
        refused = {
            path
            for path, size in bodies()
            if not await lets_through(client.base_url.port, path, size)
        }
        imports, beside = [
            await lets_through(client.base_url.port, f"/intake/api/{path}", 66 * 2**20)
            for path in ("imports", "importsx")
        ]

    assert refused == set()
    assert (imports, beside) == (True, False)


async def lets_through(port: int, path: str, size: int) -> bool:
    """Return whether the gateway admits a body of this size, without sending the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    async with asyncio.timeout(20):
        status = int((await reader.readline()).split()[1])
    writer.close()
    assert status in {100, 413}, f"{path}: {status}"
    return status == 100


def test_the_gateway_follows_containers_that_get_a_new_address():
    text = (DEPLOY / "compose/gateway.conf").read_text(encoding="utf-8")

    assert re.findall(r"server (\w+):8080 resolve;", text) == list(SERVICES)
    assert "resolver 127.0.0.11" in text


def test_only_migrate_gets_the_role_that_creates_tables(services):
    def has_password(name: str) -> bool:
        return "@" in services[name]["environment"]["FENGPING_DATABASE_URL"]

    assert [name for name in (*SERVICES, "migrate") if has_password(name)] == ["migrate"]


# ── roles of the database ─────────────────────────────────────────────────────────────────────────


def test_the_superuser_of_the_database_stays_with_its_server(services):
    secrets = {name: service.get("secrets", []) for name, service in services.items()}

    assert [name for name, given in secrets.items() if given] == ["postgres"]
    assert services["postgres-exporter"]["environment"]["DATA_SOURCE_USER"] == "fengping_monitor"
    texts = [json.dumps(each) for name, each in services.items() if name != "postgres"]
    assert not any("superuser" in text.lower() for text in texts)
    assert SECRETS["POSTGRES_SUPERUSER_PASSWORD"] not in json.dumps(services).split('"')


ODD_PASSWORD = "it's \\ $(odd)"


@pytest.fixture
async def empty_server(data_folder, tmp_path):
    """A server as the image of PostgreSQL starts it: with a superuser and nothing else."""
    server = postgres.Postgres(
        data_folder / "postgres-of-compose",
        choose_port(),
        password="unused",
        superuser_password="only-for-tests",
    )
    await server.start()
    url = named(server.superuser_url, "postgres")
    await on_server(url, "drop database fengping")
    await on_server(url, "drop role fengping")
    (tmp_path / "postgres-migrate").write_text(ODD_PASSWORD)
    (tmp_path / "postgres-monitor").write_text("m0")
    yield server
    await server.stop()


@pytest.mark.stack
async def test_the_script_creates_roles_that_are_no_superusers(empty_server, tmp_path):
    await asyncio.to_thread(
        output_of,
        "sh",
        DEPLOY / "compose/postgres-roles.sh",
        environment={
            "PATH": f"{empty_server.programs}:{os.environ['PATH']}",
            "POSTGRES_USER": "postgres",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(empty_server.port),
            "PGPASSWORD": "only-for-tests",
            "SECRETS": str(tmp_path),
        },
    )

    host = f"127.0.0.1:{empty_server.port}/fengping"
    await migrate(f"postgresql://fengping:{quote(ODD_PASSWORD)}@{host}")
    connection = await asyncpg.connect(f"postgresql://fengping_monitor:m0@{host}")
    rows = await connection.fetch("select rolname as name from pg_roles where rolsuper")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("select from intake.accounts")
    assert await connection.fetchval("select count(*) > 0 from pg_stat_activity")
    await connection.close()
    assert [row["name"] for row in rows] == ["postgres"]
