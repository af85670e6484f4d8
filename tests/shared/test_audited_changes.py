"""The database refuses a privileged change whose audit entry is missing."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.intake.actions.accounts import create_account
from shared.appraisal.labels import Role
from shared.security.passwords import NewPassword
from shared.storage.audited import PREFIX, audited_changes
from shared.storage.connections import Address
from shared.storage.migrations import migrate
from shared.storage.schema import SERVICES

pytestmark = pytest.mark.stack

ACCOUNT = (
    "insert into intake.accounts (id, name, display_name, role, password_hash, disabled, "
    "created_at, password_changed_at) values ($1, $2, '李', 'operator', '', false, now(), now())"
)
"""Parameters: id, name."""
LI = "01a220fc-8200-750e-a0d3-32ae34b97e92"
ENTRY = (
    "insert into intake.audit (at, actor, action, subject, details) "
    "values (now(), 'system', $2, $1, '{}')"
)
"""Parameters: subject, action."""


@pytest.fixture
async def owner(settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def intake(settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the role of intake, as code of intake that forgets the entry has it."""
    password_file = settings.keys_of("intake") / "database"
    connection = await Address(settings.database_url, "intake", password_file).connect("test")
    yield connection
    await connection.close()


async def accounts_of(connection: asyncpg.Connection) -> int:
    return await connection.fetchval("select count(*) from intake.accounts")  # type: ignore[no-any-return]


async def test_change_without_an_audit_entry_is_refused(intake) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="needs an audit entry"):
        await intake.execute(ACCOUNT, LI, "li")

    assert await accounts_of(intake) == 0


async def test_the_owner_of_the_schema_needs_the_entry_as_well(owner) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await owner.execute(ACCOUNT, LI, "li")


@pytest.mark.parametrize(
    ("subject", "action"),
    [(LI, "complaint.read"), ("somebody-else", "account.created")],
    ids=["another-act", "another-subject"],
)
async def test_an_entry_about_something_else_will_not_do(intake, subject, action) -> None:
    transaction = intake.transaction()
    await transaction.start()
    await intake.execute(ACCOUNT, LI, "li")
    await intake.execute(ENTRY, subject, action)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await transaction.commit()


async def test_an_entry_of_an_earlier_transaction_will_not_do(intake) -> None:
    await intake.execute(ENTRY, LI, "account.created")

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await intake.execute(ACCOUNT, LI, "li")


async def test_change_commits_with_its_entry_in_any_order_and_below_a_savepoint(intake) -> None:
    async with intake.transaction():
        await intake.execute(ACCOUNT, LI, "li")
        async with intake.transaction():
            await intake.execute(ENTRY, LI, "account.created")

    assert await accounts_of(intake) == 1


async def test_service_cannot_say_that_its_entry_belongs_to_another_transaction(intake) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await intake.execute(
            "insert into intake.audit (at, actor, action, subject, details, transaction_id) "
            "values (now(), 'x', 'account.created', 'x', '{}', '9999'::xid8)"
        )


async def test_actions_of_the_services_write_the_entries(database) -> None:
    async with database("intake").transaction() as tx:
        password = await NewPassword.of("correct-horse-battery")
        await create_account(
            tx, name="li", display_name="李", role=Role.OPERATOR, password=password, by="system"
        )

    async with database("intake").transaction() as tx:
        assert await tx.fetchval("select count(*) from accounts") == 1


@pytest.mark.parametrize("service", SERVICES)
async def test_each_change_in_the_table_has_its_trigger(owner, service) -> None:
    rows = await owner.fetch(
        "select t.tgname as name, t.tgenabled as enabled, r.rolname as owner "
        "from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_roles r on r.oid = p.proowner "
        "join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname = $1 and starts_with(t.tgname, $2) and t.tgparentid = 0",
        service,
        PREFIX,
    )

    wanted = {change.name for change in audited_changes(service)}
    assert {row["name"] for row in rows} == wanted
    assert {row["enabled"] for row in rows} == {b"O"}
    assert {row["owner"] for row in rows} == {f"fengping_{service}_owner"}


async def test_migrating_again_replaces_triggers_that_differ(settings, owner) -> None:
    name = next(each.name for each in audited_changes("intake") if each.table == "accounts")
    await owner.execute(f'alter function intake."{name}" rename to {PREFIX}accounts_of_old')

    await migrate(settings.database_url)

    functions = await owner.fetch(
        "select proname from pg_proc where starts_with(proname, $1)", f"{PREFIX}accounts"
    )
    assert [row["proname"] for row in functions] == [name]
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await owner.execute(ACCOUNT, LI, "li")


DEAD_LETTER = (
    "insert into intake.dead_letters (fingerprint, topic, partition, log_offset, headers, reason, "
    "detail, attempts) values ('1', 'complaints', 0, 1, '{}', 'headers', '', 1) "
    "on conflict (topic, fingerprint) do update set state = 'pending'"
)


async def test_a_consumer_meets_a_dead_letter_again_and_only_people_resolve_it(intake) -> None:
    for _ in range(2):
        await intake.execute(DEAD_LETTER)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="needs an audit entry"):
        await intake.execute("update intake.dead_letters set state = 'discarded'")
