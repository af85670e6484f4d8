"""材料核对: what was received and is gone is named the night after."""

from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from services.intake.actions import attachments
from services.intake.actions.reconciliation import reconcile_nightly
from services.intake.views.reconciliation import reconciliation_page
from shared.appraisal.labels import Role
from shared.foundation import telemetry
from shared.security import log_sealing
from tests.conftest import named
from tests.intake.conftest import complaint
from tests.intake.test_visits import picture, sha

pytestmark = pytest.mark.stack


@asynccontextmanager
async def database_owner(servers, settings):
    """Connect as the owner of the database, whom no trigger stops."""
    url = named(servers.postgres.superuser_url, settings.database_url.rsplit("/", 1)[1])
    connection = await asyncpg.connect(url)
    await connection.execute("set session_replication_role = replica; set search_path = intake")
    try:
        yield connection
    finally:
        await connection.close()


async def received(office, key):
    """Register a complaint with an attachment and a supplement, and a photo of a visit."""
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post("/intake/api/complaints", json=complaint(), headers=key())
        number = answer.json()["number"]
    draft = uuid4()
    async with office.transaction() as tx:
        complaint_id = await tx.fetchval("select id from complaints where number = $1", number)
        await attachments.upload(tx, draft, await attachments.prepare(picture(1)))
        await attachments.attach(tx, draft, complaint_id, number=number, by="public")
    async with await office.signed_in(Role.INSPECTOR) as phone:
        photo = picture(2)
        path = f"/intake/api/visits/{uuid4()}/photos/{sha(photo)}"
        assert (await phone.put(path, content=photo)).status_code == 201
    return number


async def found_missing(office):
    await reconcile_nightly(office.database, office.context)
    async with office.transaction() as tx:
        page = await reconciliation_page(tx)
    return {(record.kind, record.subject) for record in page.missing}


async def test_nothing_is_missing_of_what_was_received(office, key):
    await received(office, key)

    assert await found_missing(office) == set()
    assert telemetry.records_missing._value.get() == 0


async def test_deleted_row_and_its_file_are_named_within_a_day(
    office, key, clock, servers, settings
):
    number = await received(office, key)
    assert await found_missing(office) == set()

    async with database_owner(servers, settings) as owner:
        file_id = await owner.fetchval("delete from files where subject = 'complaint' returning id")
        await owner.execute("delete from vault")
        await owner.execute("delete from complaints where number = $1", number)
    office.context.files.remove(file_id)
    assert await found_missing(office) == set(), "the night has not come yet"

    await clock.advance(hours=24)

    assert await found_missing(office) == {
        ("complaint", number),
        ("attachment", f"{number}/{file_id}"),
    }
    assert telemetry.records_missing._value.get() == 2
    for role in (Role.AUDITOR, Role.OFFICE):
        async with await office.signed_in(role) as reader:
            text = (await reader.get("/intake/reconciliation")).text
        assert "缺失 2 件" in text
        assert number in text
    async with await office.signed_in(Role.OPERATOR) as operator:
        assert (await operator.get("/intake/reconciliation")).status_code == 403


async def test_removed_bytes_of_a_file_are_named(office, key, clock):
    await received(office, key)
    async with office.transaction() as tx:
        rows = await tx.fetch("select id, subject, size from files order by subject")
    cut, gone = (
        office.context.files._location(row["id"], version)
        for row, version in zip(rows, ("original", "derived"), strict=True)
    )
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()

    missing = await found_missing(office)

    assert {kind for kind, _ in missing} == {"file"}
    assert {subject.rpartition("/")[2] for _, subject in missing} == {
        str(row["id"]) for row in rows
    }


async def test_removed_photo_text_and_entry_are_named(office, key, servers, settings):
    number = await received(office, key)
    async with database_owner(servers, settings) as owner:
        await owner.execute("delete from files where subject = 'visit'")
        await owner.execute("delete from vault where part = 'statement'")
        await owner.execute("delete from audit where action = 'complaint.registered'")

    missing = await found_missing(office)

    assert {kind for kind, _ in missing} == {"photo", "statement", "entry"}
    assert ("entry", number) in missing


async def test_comparison_is_made_once_a_night(office, clock):
    async def nights():
        await found_missing(office)
        async with office.transaction() as tx:
            return await tx.fetchval(
                "select count(*) from audit where action = 'records.reconciled'"
            )

    assert [await nights(), await nights()] == [1, 1]
    await clock.advance(days=1)
    assert [await nights(), await nights()] == [2, 2]


async def test_progress_page_says_when_the_registration_was_sealed(office, key):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post("/intake/api/complaints", json=complaint(), headers=key())
    given = {"number": answer.json()["number"], "code": answer.json()["query_code"]}

    async with office.client() as public:
        before = (await public.post("/p/query", data=given)).text
        async with office.transaction() as tx:
            await log_sealing.seal_log(tx, office.service.keys)
        after = (await public.post("/p/query", data=given)).text
    async with office.transaction() as tx:
        position = await tx.fetchval(
            "select position from audit where action = 'complaint.registered'"
        )

    assert "封存" not in before
    assert f"审计日志第 {position + 1} 条" in after
