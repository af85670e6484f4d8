"""`fengping up` as a process: it serves on one port, stops cleanly and loses nothing."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from base64 import b32decode
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from services.cli.demo import demo_password, prepare_demo
from services.cli.demo_accounts import seed_accounts
from services.cli.demo_register import seed_register
from services.cli.installation import installed_settings
from services.cli.server import internal_server
from services.cli.virtual_clock import VirtualClock
from services.simulate.accounts import OFFICE, OFFICE_ACCOUNTS, OPERATOR, DemoAccount, unit_accounts
from services.simulate.client import Client, id_of
from services.simulate.timeline import demo_rules
from services.simulate.units import UNITS
from shared.appraisal.events import ComplaintRated
from shared.foundation.clock import real_now
from shared.foundation.settings import Settings
from shared.security.sessions import COOKIE
from shared.security.totp import code_at, time_step
from shared.storage.connections import Database
from shared.storage.schema import SERVICES
from tests.journeys.conftest import BEGINS, PASSWORD

pytestmark = [pytest.mark.stack, pytest.mark.faults]
START_SECONDS = 170.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Up:
    """A running `fengping up`."""

    def __init__(self, data: Path, port: int) -> None:
        internal_port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.internal_url = f"http://127.0.0.1:{internal_port}"
        self.data = data
        self.log = (data.parent / f"up-{port}.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services.cli",
                "up",
                "--no-demo",
                "--port",
                str(port),
                "--internal-port",
                str(internal_port),
                "--data",
                str(data),
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> float:
        """Wait until /readyz answers 200; return the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"exited with {self.process.returncode}: {self.output()[-2000:]}"
                )
            try:
                if httpx2.get(f"{self.internal_url}/readyz", timeout=5).status_code == 200:
                    return time.monotonic() - started
            except httpx2.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not ready after {START_SECONDS} s: {self.output()[-2000:]}")

    def output(self) -> str:
        return Path(self.log.name).read_text()

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def processes_of(data: Path) -> list[str]:
    """Return the command lines of processes that use this data folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(data) in line:
                found.append(line)
    return found


PROCESSES_OF_UP = 5
"""At least: itself, PostgreSQL, Valkey, Kafka and the witness."""


def users_of(data: Path) -> list[int]:
    """Return the user of every process that works in a data folder."""
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            folder = os.readlink(process / "cwd")
            if str(data).encode() in command or folder.startswith(str(data)):
                users.append(process.stat().st_uid)
    return users


@pytest.fixture
def data(tmp_path: Path):
    tmp_path.chmod(0o755)
    return tmp_path / "data"


async def enrolled_session(run: Up, person: DemoAccount) -> str:
    """Sign in for the first time, with an authenticator; return the session's token.

    The installation is no demo: the password alone does not open a privileged account.
    """
    browser = httpx2.AsyncClient(base_url=run.url, headers={"sec-fetch-site": "same-origin"})
    async with browser:
        await browser.post("/login", data={"name": person.name, "password": PASSWORD})
        page = await browser.get("/login/enrolment")
        shown = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
        assert shown, page.text
        secret = b32decode(shown[1].replace(" ", ""))
        code = code_at(secret, time_step(real_now()))
        done = await browser.post("/login/enrolment", data={"code": code})
        assert done.status_code == 200, done.text
        return browser.cookies[COOKIE]


async def publish(run: Up) -> None:
    """Publish a campaign."""
    units = [
        {"unit_id": body.unit_id, "name": body.name, "category": body.category} for body in UNITS
    ]
    token = await enrolled_session(run, OFFICE)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(id_of("up"))}
    async with httpx2.AsyncClient(base_url=run.url, headers=headers) as office:
        campaign = {"rules": demo_rules(BEGINS), "year": 2026, "units": units}
        answer = await office.post("/scoring/api/campaigns", json=campaign)
    assert answer.status_code == 201, answer.text


async def campaigns(run: Up) -> list[str]:
    """Return the campaigns that reached intake, read by an operator, who needs no one-time code."""
    async with Client(run.url) as client:
        operator = await client.sign_in(OPERATOR.name, PASSWORD)
        return [campaign["id"] for campaign in await operator.campaigns()]


async def seed(data: Path) -> None:
    """Create the demo units and accounts in this installation."""
    await seed_register(installed_settings(data).database_url)
    database = Database(installed_settings(data).database_url, "intake", pool_size=2)
    async with database.transaction() as tx:
        await seed_accounts(
            tx, password=PASSWORD, units=[(body.unit_id, body.name) for body in UNITS]
        )
    await database.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_up_stops_cleanly_and_keeps_data_after_a_kill(data: Path):
    port = free_port()
    first = Up(data, port)
    try:
        first.wait_until_ready()
        users = users_of(data)
        assert len(users) >= PROCESSES_OF_UP
        assert 0 not in users, "also when root starts it"
        await seed(data)
        await publish(first)
        while not await campaigns(first):
            await asyncio.sleep(0.2)

        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(10)
        second = Up(data, port)
        second.wait_until_ready()
        assert await campaigns(second) == ["J-2026"], "events published before the kill are kept"

        assert second.stop(signal.SIGINT) == 0
        assert processes_of(data) == [], "Ctrl-C leaves no process behind"
        assert "all data is kept in" in second.output()
    finally:
        for run in (first, locals().get("second")):
            if run and run.process.poll() is None:
                run.stop(signal.SIGTERM)


async def test_health_and_metrics_are_on_the_internal_port_only(system):
    """The public port of all services answers `/livez` and nothing else about the process."""
    public = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{system.settings.port}")
    internal = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{system.settings.health_port}")
    async with public, internal:
        answers = {
            path: ((await public.get(path)).status_code, (await internal.get(path)).status_code)
            for path in ("/livez", "/readyz", "/metrics", "/intake/metrics", "/p/")
        }
        problems = (await internal.get("/readyz")).json()["problems"]

    assert answers == {
        "/livez": (200, 200),
        "/readyz": (404, 200),
        "/metrics": (404, 200),
        "/intake/metrics": (404, 404),
        "/p/": (200, 404),
    }
    assert problems == {service: {} for service in SERVICES}


def test_internal_port_listens_on_loopback_wherever_the_public_one_does():
    settings = Settings(environment="test", host="0.0.0.0", port=8080)

    config = internal_server([], settings).config

    assert (config.host, config.port) == ("127.0.0.1", 8081)


def test_port_in_use_suggests_another_port(data: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = Up(data, taken.getsockname()[1])

        assert run.process.wait(60) == 1
    assert "--port" in run.output()
    assert "Traceback" not in run.output()
    assert processes_of(data) == []


# ── the demo clock ────────────────────────────────────────────────────────────────────────────────


async def test_virtual_clock_starts_four_weeks_back_and_meets_the_real_time(settings, database):
    clock = await VirtualClock.started(settings.database_url)
    begun = clock.clock.at(real_now())
    assert 27.9 < (real_now() - begun).total_seconds() / 86_400 <= 28

    await clock.set_rate(28 * 86_400.0)
    await asyncio.sleep(1.5)
    assert abs((clock.clock.at(real_now()) - real_now()).total_seconds()) < 1
    async with database("intake").transaction() as tx:
        tx.publish(
            ComplaintRated(
                occurred_at=tx.now, complaint_id=id_of("clock"), campaign_id="J-2026", option=1
            )
        )
    again = await VirtualClock.started(settings.database_url)
    assert abs((again.clock.at(real_now()) - clock.clock.at(real_now())).total_seconds()) < 1


async def test_preparing_a_demo_writes_nothing_into_its_future(settings, database):
    expected = {account.name for account in OFFICE_ACCOUNTS}
    for body in UNITS:
        expected.update(account.name for account in unit_accounts(body.unit_id, body.name))

    demo = await prepare_demo(settings, "fp-0123abcd")

    async with database("intake").transaction() as tx:
        assert await tx.fetchval("select max(at) from audit") <= demo.clock.clock.at(real_now())
        names = await tx.fetchval("select array_agg(name) from accounts")
    assert sorted(names) == sorted(expected)
    again = await prepare_demo(settings, "fp-0123abcd")
    assert again.clock.clock.anchor <= demo.clock.clock.at(real_now())


async def test_killed_demo_continues_from_its_last_write(settings, database):
    clock = await VirtualClock.started(settings.database_url)
    await clock.set_rate(86_400.0)
    await asyncio.sleep(1.0)
    async with database("intake").transaction() as tx:
        tx.audit("test.wrote", "something", "system")
        written_at = tx.now
    await asyncio.sleep(0.5)

    again = await VirtualClock.started(settings.database_url)

    assert again.clock.anchor == written_at, "no write lies in the future and no legal time is lost"


def test_demo_password_is_kept_for_later_starts(data: Path):
    """The password is stable and its file is readable by its owner only."""
    password = demo_password(data)

    assert demo_password(data) == password
    assert (data / "demo.json").stat().st_mode & 0o077 == 0
    assert json.loads((data / "demo.json").read_text())["password"] == password
