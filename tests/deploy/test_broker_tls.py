"""The broker of docker-compose.yml: only TLS, only with its authority, only with a password."""

import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from services.cli.broker_files import BrokerFiles
from shared.embedded import Stack, cache_folder
from shared.embedded.kafka import java
from shared.embedded.machine import choose_port
from shared.security.certificates import issue
from tests.shared.test_messaging import until

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def files() -> BrokerFiles:
    folder = Path(tempfile.mkdtemp(prefix="fengping-broker-"))
    made = BrokerFiles(folder, "localhost", seen_at=folder / "broker", log=folder / "log")
    assert made.create_missing(NOW)
    return made


@pytest.fixture(scope="module")
async def port(files: BrokerFiles, servers: Stack) -> AsyncIterator[int]:
    """A broker that runs with these files, formatted and started as in the container."""
    port = choose_port()
    settings = files.folder / "broker/server.properties"
    text = settings.read_text().replace(":9092", f":{port}")
    settings.write_text(text.replace(":9093", f":{choose_port({port})}"))
    program = java(cache_folder(servers.data))
    cluster = (files.folder / "broker/cluster-id").read_text().strip()
    format_log = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", settings]
    users = f"@{files.folder / 'broker/users'}"
    subprocess.run([*program, *format_log, users], check=True, capture_output=True, timeout=60)
    with (files.folder / "log.txt").open("w") as log:
        broker = subprocess.Popen([*program, "kafka.Kafka", settings], stdout=log, stderr=log)
    try:
        await until(lambda: connects(files, port), 60)
        yield port
    finally:
        broker.terminate()
        broker.wait(30)


def options(files: BrokerFiles, port: int) -> dict[str, Any]:
    authority = files.folder / "authorities/kafka.crt"
    return {
        "bootstrap_servers": f"localhost:{port}",
        "security_protocol": "SASL_SSL",
        "ssl_context": create_ssl_context(cafile=str(authority)),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "fengping-admin",
        "sasl_plain_password": (files.folder / "admin/kafka").read_text().strip(),
        "request_timeout_ms": 3_000,
    }


async def connects(files: BrokerFiles, port: int, **changed: Any) -> bool:
    admin = AIOKafkaAdminClient(**options(files, port) | changed)
    try:
        await admin.start()
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True


@pytest.mark.stack
async def test_client_with_authority_and_password_is_served(files, port):
    assert await connects(files, port)


@pytest.mark.stack
@pytest.mark.parametrize(
    "changed",
    [
        {"security_protocol": "PLAINTEXT"},
        {"security_protocol": "SASL_PLAINTEXT"},
        {"security_protocol": "SSL"},
        {"sasl_plain_password": "guess"},
        {"sasl_plain_username": "stranger"},
    ],
)
async def test_plain_connection_and_wrong_password_are_refused(files, port, changed):
    assert not await connects(files, port, **changed)


@pytest.mark.stack
async def test_another_authority_and_another_name_are_refused(files, port):
    another = ssl.create_default_context(cadata=issue("localhost", NOW).authority)

    assert not await connects(files, port, ssl_context=another)
    assert not await connects(files, port, bootstrap_servers=f"127.0.0.1:{port}")


def test_files_are_made_once_and_only_the_certificate_is_renewed(files):
    def read() -> dict[str, bytes]:
        paths = [path for path in files.folder.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(files.folder)): path.read_bytes()
            for path in paths
            if path.parent.name in ("admin", "authorities", "broker", "monitor")
        }

    before = read()
    assert not files.create_missing(NOW)
    assert read() == before

    files.renew_certificate(NOW)

    after = read()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"broker/server.pem", "broker/authority.crt", "authorities/kafka.crt"}


def test_passwords_are_not_readable_by_others(files):
    secret = [path for path in files.folder.glob("*/*") if path.name != "kafka.crt"]

    assert {path.parent.name for path in secret} >= {"admin", "broker", "monitor"}
    assert all(not path.stat().st_mode & 0o027 for path in secret if path.parent.name != "log")
