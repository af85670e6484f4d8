"""`fengping up` as people run it: one command, one port, nothing left behind, nothing lost."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from services.cli.__main__ import here
from services.cli.demo_accounts import seed_accounts
from services.cli.up import Demo, DemoClock, stage
from services.simulate.client import Client, id_of
from services.simulate.demo import rules_around
from services.simulate.people import BODIES, OFFICE
from shared.appraisal.events import ComplaintRated
from shared.foundation.clock import real_now
from shared.storage.connections import Database
from tests.journeys.conftest import BEGINS, PASSWORD

pytestmark = [pytest.mark.stack, pytest.mark.faults]
START_SECONDS = 170.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Up:
    """One run of the command."""

    def __init__(self, data: Path, port: int) -> None:
        self.url, self.data = f"http://127.0.0.1:{port}", data
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
                "--data",
                str(data),
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> float:
        """Seconds until /readyz says yes."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"it ended with {self.process.returncode}: {self.said()[-2000:]}"
                )
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return time.monotonic() - started
            except httpx2.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not ready after {START_SECONDS} s: {self.said()[-2000:]}")

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def working_for(data: Path) -> list[str]:
    """Command lines of the processes that have to do with this data folder."""
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


@pytest.fixture
def data(tmp_path: Path):
    tmp_path.chmod(0o755)
    return tmp_path / "data"


async def publish(run: Up) -> None:
    """Accounts and a campaign, as an office would have them."""
    async with Client(run.url) as client:
        office = await client.sign_in(OFFICE.name, PASSWORD)
        units = [
            {"unit_id": body.unit_id, "name": body.name, "category": body.category}
            for body in BODIES
        ]
        await office.publish_campaign(
            {"rules": rules_around(BEGINS), "year": 2026, "units": units}, key=id_of("up")
        )


async def campaigns(run: Up) -> list[str]:
    async with Client(run.url) as client:
        return [
            one["id"] for one in await (await client.sign_in(OFFICE.name, PASSWORD)).campaigns()
        ]


async def seed(data: Path) -> None:
    """Accounts in the installation of this folder."""
    database = Database(here(data).database_url, "intake", pool_size=2)
    async with database.transaction() as tx:
        await seed_accounts(
            tx, password=PASSWORD, units=[(body.unit_id, body.name) for body in BODIES]
        )
    await database.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_up_serves_stops_cleanly_and_keeps_everything_over_a_kill(data: Path):
    port = free_port()
    first = Up(data, port)
    try:
        first.wait_until_ready()
        await seed(data)
        await publish(first)
        while not await campaigns(first):
            await asyncio.sleep(0.2)

        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(10)
        second = Up(data, port)
        second.wait_until_ready()
        assert await campaigns(second) == ["J-2026"], "what was published before the kill is there"

        assert second.stop(signal.SIGINT) == 0
        assert working_for(data) == [], "Ctrl-C leaves no process behind"
        assert "all data is kept in" in second.said()
    finally:
        for run in (first, locals().get("second")):
            if run and run.process.poll() is None:
                run.stop(signal.SIGTERM)


def test_port_in_use_says_what_to_do(data: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = Up(data, taken.getsockname()[1])

        assert run.process.wait(60) == 1
    assert "--port" in run.said()
    assert "Traceback" not in run.said()
    assert working_for(data) == []


# ── the demo's clock ──────────────────────────────────────────────────────────────────────────────


async def test_demo_clock_starts_four_weeks_back_runs_and_meets_the_real_time(settings, database):
    clock = await DemoClock.started(settings.database_url)
    begun = clock.pace.at(real_now())
    assert 27.9 < (real_now() - begun).total_seconds() / 86_400 <= 28

    await clock.run_at(28 * 86_400.0)
    await asyncio.sleep(1.5)
    assert abs((clock.pace.at(real_now()) - real_now()).total_seconds()) < 1
    async with database("intake").transaction() as tx:
        tx.publish(
            ComplaintRated(
                occurred_at=tx.now, complaint_id=id_of("clock"), campaign_id="J-2026", option=1
            )
        )
    again = await DemoClock.started(settings.database_url)
    assert abs((again.pace.at(real_now()) - clock.pace.at(real_now())).total_seconds()) < 1


async def test_staging_a_demo_writes_nothing_into_its_future(settings, database):
    staged = await stage(settings, Demo("fp-0123abcd"))

    async with database("intake").transaction() as tx:
        assert await tx.fetchval("select max(at) from audit") <= staged.clock.pace.at(real_now())
        assert await tx.fetchval("select count(*) from accounts") == len(BODIES) * 2 + 7
    again = await stage(settings, Demo("fp-0123abcd"))
    assert again.clock.pace.anchor <= staged.clock.pace.at(real_now())


async def test_demo_killed_on_the_way_goes_on_where_it_was(settings, database):
    clock = await DemoClock.started(settings.database_url)
    await clock.run_at(86_400.0)
    await asyncio.sleep(1.0)
    async with database("intake").transaction() as tx:
        tx.audit("test.wrote", "something", "system")
        written_at = tx.now
    await asyncio.sleep(0.5)

    again = await DemoClock.started(settings.database_url)

    assert again.pace.anchor == written_at, (
        "nothing that was written is in the future, and no legal time was lost"
    )


def test_settings_of_a_second_start_are_kept(data: Path):
    """Reading the password twice gives the same one, in a file that only its owner can read."""
    assert Demo.of(data) == Demo.of(data)
    assert (data / "demo.json").stat().st_mode & 0o077 == 0
    assert json.loads((data / "demo.json").read_text())["password"] == Demo.of(data).password
