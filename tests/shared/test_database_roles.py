"""Each service works as a role that owns nothing and can do what the access table says."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services.cli.installation import set_database_passwords
from shared.foundation.settings import Settings
from shared.security.database_passwords import rotate_database_password
from shared.security.service_keys import DATABASE, ServiceKeys, service_keys
from shared.storage.access import APPEND_ONLY, EVERY_COLUMN, Access, access_of
from shared.storage.connections import Address, Database, UnsafeDatabase, check_server
from shared.storage.migrations import migrate
from shared.storage.roles import close_database, owner_role, runtime_role, scram_verifier
from shared.storage.schema import CORE_TABLES, SERVICES

pytestmark = pytest.mark.stack


def address_of(settings: Settings, service: str) -> Address:
    return Address(settings.database_url, service, service_keys(service, settings).path(DATABASE))


async def tables(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """Return the columns of every table, by service and table, without partitions."""
    connection = await asyncpg.connect(settings.database_url)
    rows = await connection.fetch(
        "select n.nspname, c.relname, array_agg(a.attname::text order by a.attnum) as columns "
        "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
        "where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition "
        "group by 1, 2",
        list(SERVICES),
    )
    await connection.close()
    found: dict[str, dict[str, list[str]]] = {service: {} for service in SERVICES}
    for schema, table, columns in rows:
        found[schema][table] = columns
    return found


class Attempts:
    """Tries statements and tells which are denied; nothing that succeeds stays."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def allowed(self, sql: str) -> bool:
        """Return False if the privileges do not allow a statement, whatever else is wrong."""
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            await self._connection.execute(sql)
        except asyncpg.InsufficientPrivilegeError:
            return False
        except asyncpg.PostgresError:
            return True
        finally:
            await transaction.rollback()
        return True

    async def access(self, table: str, columns: list[str]) -> tuple[bool, Access]:
        """Return whether a table can be read, and what else can be done to it."""
        return (
            await self.allowed(f"select from {table} limit 0"),
            Access(
                update=await self._columns(
                    columns, f'update {table} set "{{column}}" = default where false'
                ),
                delete=await self.allowed(f"delete from {table} where false"),
                insert=await self._columns(
                    columns, f'insert into {table} ("{{column}}") values (default)'
                ),
            ),
        )

    async def _columns(self, columns: list[str], sql: str) -> tuple[str, ...]:
        """Return the columns for which a statement is allowed, as in the access table."""
        found = [each for each in columns if await self.allowed(sql.format(column=each))]
        return EVERY_COLUMN if found == columns else tuple(sorted(found))

    async def definitions(self, table: str) -> list[str]:
        """Return the statements about a table's definition that are allowed."""
        statements = (
            f"truncate {table}",
            f"alter table {table} add column extra integer",
            f"alter table {table} disable trigger all",
            f"drop table {table}",
            f"create index on {table} ((1))",
        )
        return [sql for sql in statements if await self.allowed(sql)]


@pytest.fixture
async def attempts(settings: Settings) -> AsyncIterator[dict[str, Attempts]]:
    owner = await asyncpg.connect(settings.database_url)
    await close_database(owner, SERVICES)  # A cloned database does not inherit this.
    await owner.close()
    connections = {
        service: await address_of(settings, service).connect("test") for service in SERVICES
    }
    yield {service: Attempts(connection) for service, connection in connections.items()}
    for connection in connections.values():
        await connection.close()


def sorted_columns(access: Access) -> Access:
    return Access(tuple(sorted(access.update)), access.delete, tuple(sorted(access.insert)))


@pytest.mark.parametrize("service", SERVICES)
async def test_role_does_to_its_own_tables_what_the_access_table_says(
    settings, attempts, service
) -> None:
    expected = access_of(service)
    of_service = (await tables(settings))[service]
    assert of_service.keys() >= CORE_TABLES
    assert expected.keys() <= of_service.keys(), "the access table names tables that do not exist"

    for table, columns in of_service.items():
        readable, access = await attempts[service].access(f"{service}.{table}", columns)
        assert readable
        assert access == sorted_columns(expected.get(table, APPEND_ONLY)), table


@pytest.mark.parametrize("service", SERVICES)
async def test_role_reaches_no_table_of_another_service(settings, attempts, service) -> None:
    nothing = (False, Access(insert=()))
    found = {
        f"{other}.{table}": await attempts[service].access(f"{other}.{table}", columns[:1])
        for other, of_other in (await tables(settings)).items()
        if other != service
        for table, columns in of_other.items()
    }

    assert len(found) > 60
    assert {table for table, access in found.items() if access != nothing} == set()


@pytest.mark.parametrize("service", SERVICES)
async def test_role_defines_nothing(settings, attempts, service) -> None:
    of_service = (await tables(settings))[service]
    allowed = [
        sql
        for table in of_service
        for sql in await attempts[service].definitions(f"{service}.{table}")
    ]
    others = (
        f"create table {service}.mine (id integer)",
        "create table public.mine (id integer)",
        "create temporary table mine (id integer)",
        "create schema mine",
        f"create function {service}.mine() returns integer language sql return 1",
        "create role mine",
        f"alter role {owner_role(service)} login",
        f"set role {owner_role(service)}",
        "set role fengping",
        "set session_replication_role = replica",
        f"alter schema {service} owner to {runtime_role(service)}",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "create or replace function public.app_now() returns timestamptz language sql return now()",
    )
    allowed += [sql for sql in others if await attempts[service].allowed(sql)]

    assert allowed == []


async def test_partitions_are_reached_through_their_table_only(settings, attempts) -> None:
    connection = await address_of(settings, "scoring").connect("test")
    await connection.execute("select create_campaign_partitions('j-2026')")
    await connection.execute("select create_campaign_partitions('j-2026')")
    partitions = [
        row["name"]
        for row in await connection.fetch(
            "select inhrelid::regclass::text as name from pg_inherits i "
            "join pg_class c on c.oid = i.inhparent "
            "where c.relkind = 'p' and c.relnamespace = 'scoring'::regnamespace"
        )
    ]
    await connection.close()

    assert sorted(name.partition("_part_")[0] for name in partitions) == ["ballots", "ledger"]
    for partition in partitions:
        readable, access = await attempts["scoring"].access(f"scoring.{partition}", ["campaign_id"])
        assert (readable, access) == (False, Access(insert=()))
        assert await attempts["scoring"].definitions(f"scoring.{partition}") == []


async def test_migrating_again_takes_back_what_was_granted_by_hand(settings, attempts) -> None:
    connection = await asyncpg.connect(settings.database_url)
    role = runtime_role("scoring")
    await connection.execute(f"grant update, delete, truncate on scoring.ballots to {role}")
    assert await attempts["scoring"].allowed("delete from scoring.ballots where false")

    await migrate(settings.database_url)

    _, access = await attempts["scoring"].access("scoring.ballots", ["answers"])
    assert access == APPEND_ONLY
    assert await attempts["scoring"].definitions("scoring.ballots") == []
    await connection.close()


# ── what a service refuses


async def refusal(settings: Settings, url: str) -> str:
    database = Database(url, "casework", pool_size=1)
    try:
        with pytest.raises(UnsafeDatabase) as refused:
            await check_server(database, virtual_time_allowed=True)
    finally:
        await database.close()
    return str(refused.value)


async def test_service_refuses_a_superuser(servers, settings) -> None:
    name = settings.database_url.rpartition("/")[2]
    url = f"{servers.postgres.superuser_url.rpartition('/')[0]}/{name}"

    assert "is a superuser" in await refusal(settings, url)


async def test_service_refuses_the_role_that_migrates(settings) -> None:
    sentence = await refusal(settings, settings.database_url)

    assert "may create roles" in sentence
    assert "is a member of other roles" in sentence
    assert "connect as fengping_casework" in sentence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("alter role {role} bypassrls", "bypasses row security"),
        ("alter role {role} createdb", "may create databases"),
        ("create table public.owned (); alter table public.owned owner to {role}", "owns tables"),
        ("create schema owned authorization {role}", "owns a schema"),
        ("grant fengping_intake_owner to {role}", "is a member of other roles"),
    ],
)
async def test_service_refuses_a_role_with_more_power_than_it_needs(
    servers, settings, change, reason
) -> None:
    host = settings.database_url.partition("@")[2]
    superuser = servers.postgres.superuser_url.partition("@")[0]
    connection = await asyncpg.connect(f"{superuser}@{host}")
    await connection.execute(
        f"create role powerful login password '{scram_verifier('only-for-tests')}';"
        f"grant usage on schema casework to powerful; {change.format(role='powerful')}"
    )
    try:
        sentence = await refusal(settings, f"postgresql://powerful:only-for-tests@{host}")
    finally:
        await connection.execute("drop owned by powerful; drop role powerful")
        await connection.close()

    assert reason in sentence


async def test_role_of_a_service_is_accepted(settings, database) -> None:
    for service in SERVICES:
        await check_server(database(service), virtual_time_allowed=True)


# ── passwords


async def test_no_role_signs_in_without_its_password(settings) -> None:
    """pg_hba.conf trusts nobody, and every verifier is SCRAM."""
    address = settings.database_url.partition("@")[2]
    for service in SERVICES:
        for role in (runtime_role(service), owner_role(service)):
            for password in ("", role, "fengping"):
                with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                    await asyncpg.connect(f"postgresql://{role}:{password}@{address}")


async def test_every_way_to_the_embedded_server_asks_for_a_password(servers) -> None:
    connection = await asyncpg.connect(servers.postgres.superuser_url)
    rows = await connection.fetch("select type, auth_method from pg_hba_file_rules")
    verifiers = await connection.fetch(
        "select rolpassword from pg_authid where rolcanlogin and rolname not like 'pg_%'"
    )
    await connection.close()

    assert {row["auth_method"] for row in rows} == {"scram-sha-256"}
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in verifiers)


@pytest.fixture
async def own_password(settings: Settings, tmp_path: Path) -> AsyncIterator[ServiceKeys]:
    """Give this test a copy of the keys, and restore the password of the shared role."""
    shared_folder = settings.keys_folder
    assert shared_folder is not None
    copy = tmp_path / "own-keys"
    shutil.copytree(shared_folder, copy)
    settings.keys_folder = copy
    yield service_keys("notify", settings)
    settings.keys_folder = shared_folder
    await set_database_passwords(settings)


async def test_password_is_replaced_under_load_without_a_failed_operation(
    settings, own_password
) -> None:
    address = address_of(settings, "notify")
    old = own_password.path(DATABASE).read_text()
    done: list[int] = []
    stopped = asyncio.Event()

    async def connect_again_and_again() -> None:
        while not stopped.is_set():
            connection = await address.connect("test")
            done.append(await connection.fetchval("select 1"))
            await connection.close()

    load = [asyncio.create_task(connect_again_and_again()) for _ in range(6)]
    for _ in range(3):
        await asyncio.sleep(0.2)
        await rotate_database_password(settings, own_password, by="test")
    await asyncio.sleep(0.2)
    stopped.set()
    await asyncio.gather(*load)

    assert len(done) > 20
    new = own_password.path(DATABASE).read_text()
    assert new != old
    assert len(new.split()) == 1
    own_password.path(DATABASE).write_text(old)
    with pytest.raises(asyncpg.InvalidPasswordError, match="fengping migrate"):
        await address.connect("test")


async def test_process_with_both_passwords_connects_before_and_after_the_change(
    settings, own_password
) -> None:
    """In a cluster the file arrives with both lines before `fengping migrate` sets the new one."""
    path = own_password.path(DATABASE)
    path.write_text(path.read_text() + "the-new-password\n")
    address = address_of(settings, "notify")

    before = await address.connect("test")
    await set_database_passwords(settings)
    after = await address.connect("test")

    assert [await each.fetchval("select 1") for each in (before, after)] == [1, 1]
    await before.close()
    await after.close()
    path.write_text("the-new-password\n")
    await (await address.connect("test")).close()
