"""While PostgreSQL restarts, requests are answered 2xx or 503 and no accepted event is lost."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from uuid import UUID, uuid4

import asyncpg
import httpx2 as httpx
import pytest
from sqlalchemy.exc import DBAPIError

from shared.appraisal.events import ComplaintRated
from shared.embedded.machine import choose_port
from shared.embedded.postgres import Postgres
from shared.foundation.clock import VIRTUAL_CLOCK_DDL
from shared.messaging import Bus, Handlers, prepare_kafka
from shared.runtime.jobs import Jobs
from shared.runtime.service import Service
from shared.security.policies import PUBLIC
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable
from shared.web import Router, Tx
from tests.conftest import create_core, on_server, settings_for
from tests.shared.test_messaging import until

pytestmark = pytest.mark.stack

CLIENTS = 8


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.DiskFullError("could not extend file"),
        asyncpg.TooManyConnectionsError("too many clients"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.IdleSessionTimeoutError("idle session"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError("reset by peer"),
        OSError("Multiple exceptions: [Errno 111] Connect call failed"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_unavailable_database_is_recognised_with_and_without_sqlalchemy(error: Exception) -> None:
    wrapped = DBAPIError("select 1", None, error)

    assert is_unavailable(error)
    assert is_unavailable(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.UndefinedColumnError("no such column"),
        asyncpg.NumericValueOutOfRangeError("out of range"),
        FileNotFoundError(2, "No such file", "photo.jpg"),
        ValueError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_fault_of_the_request_is_not_unavailability(error: Exception) -> None:
    assert not is_unavailable(error)
    if not isinstance(error, OSError):
        assert not is_unavailable(DBAPIError("select 1", None, error))


@pytest.fixture
async def postgres(data_folder):
    server = Postgres(
        data_folder / "postgres-to-restart",
        choose_port(),
        password="only-for-tests",
        superuser_password="only-for-tests-too",
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def installation(servers, postgres, tmp_path):
    """A service that accepts ratings over HTTP, and a service that records them."""
    settings = settings_for(servers, postgres.url, tmp_path)
    await on_server(settings.database_url, VIRTUAL_CLOCK_DDL)
    for schema in ("intake", "casework"):
        await create_core(settings, schema)
    await on_server(settings.database_url, "create table casework.effects (complaint_id uuid)")
    await prepare_kafka(settings)
    publishing = rating_service(settings, tmp_path)
    consumer_db = Database(settings.database_url, "casework", pool_size=5)
    consuming = Bus(consumer_db, effect_handlers(), settings, context=None)
    for bus in (publishing.bus, consuming):
        bus.start()
    yield SimpleNamespace(app=publishing.app, consumer_db=consumer_db)
    await asyncio.gather(publishing.bus.stop(), consuming.stop())
    await publishing.close()
    await consumer_db.close()


def rating_service(settings, folder):
    router = Router(prefix="/ratings/api")

    @router.post("/{complaint_id}", policy=PUBLIC)
    async def rate(tx: Tx, complaint_id: UUID) -> dict[str, str]:
        tx.publish(
            ComplaintRated(
                occurred_at=tx.now, complaint_id=complaint_id, campaign_id="j-2026", option=1
            )
        )
        return {"status": "accepted"}

    return Service(
        name="intake",
        title="评价",
        settings=settings,
        routers=[router],
        handlers=Handlers(),
        jobs=Jobs(),
        context=None,
        templates=folder,
        prefixes=("/ratings",),
        run_jobs=False,
    )


def effect_handlers():
    on = Handlers()

    @on(ComplaintRated)
    async def record(tx, event, meta):
        await tx.run("insert into effects (complaint_id) values ($1)", event.complaint_id)

    return on


async def effects_in(database):
    async with database.transaction() as tx:
        rows = await tx.fetch("select complaint_id from effects")
    return Counter(row["complaint_id"] for row in rows)


async def test_restarting_database_answers_503_and_loses_no_accepted_event(
    installation, postgres, caplog
):
    statuses: dict[UUID, int] = {}
    restarted = asyncio.Event()

    async def post_until_restarted(client):
        while not restarted.is_set():
            complaint_id = uuid4()
            answer = await client.post(f"/ratings/api/{complaint_id}")
            statuses[complaint_id] = answer.status_code
            await asyncio.sleep(0.01)

    transport = httpx.ASGITransport(app=installation.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake.test") as client:
        posting = [asyncio.create_task(post_until_restarted(client)) for _ in range(CLIENTS)]
        await asyncio.sleep(1)
        await restart_twice(postgres)
        await asyncio.sleep(2)
        restarted.set()
        await asyncio.gather(*posting)

    accepted = {complaint for complaint, status in statuses.items() if status == 200}
    assert set(statuses.values()) == {200, 503}
    await until(lambda: _all_applied(installation.consumer_db, accepted), seconds=60)
    effects = await effects_in(installation.consumer_db)
    assert set(effects.values()) == {1}
    assert effects.keys() <= statuses.keys()


async def restart_twice(postgres):
    """Once by a fast shutdown (57P01), once by a crash (connection reset, then 57P03)."""
    await postgres.stop()
    await asyncio.sleep(0.5)
    await postgres.start()
    await asyncio.sleep(2)
    postgres.kill()
    await asyncio.sleep(0.5)
    await postgres.start()


async def _all_applied(database, accepted):
    return accepted <= (await effects_in(database)).keys()
