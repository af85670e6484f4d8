"""Erasure of complainant data after the retention period."""

from contextlib import suppress
from datetime import timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest

from services.intake.actions import attachments
from services.intake.actions.mergers import merge_complaint
from services.intake.actions.retention import erase_complainant_data
from services.intake.store import files, vault
from services.intake.views.complaints import complaint_detail
from shared.appraisal.labels import Role
from shared.runtime.clock_guard import ClockGuardActive
from shared.security.keyring import KeyDestroyed, SealedRecord
from tests.intake.conftest import CAMPAIGN, WORDS, complaint, look_up
from tests.intake.test_visits import picture

stack = pytest.mark.stack


async def settled(office, number, *, days_ago):
    """Record that the case of this complaint was closed."""
    async with office.transaction() as tx:
        await tx.run(
            "insert into progress (complaint_id, case_id, case_number, explanation, reply, provisional, opened_at, closed_at, updated_at) "
            "select id, gen_random_uuid(), 'AJ', '', '', false, $2::timestamptz, $2 - make_interval(days => $3), $2 "
            "from complaints where number = $1",
            number,
            tx.now,
            days_ago,
        )


async def opened(office, number):
    """Record that the case of this complaint is open."""
    await settled(office, number, days_ago=0)
    async with office.transaction() as tx:
        await tx.run(
            "update progress set closed_at = null where complaint_id = (select id from complaints where number = $1)",
            number,
        )


async def erase(office, *, days):
    office.context.settings.complainant_retention_days = days
    async with office.transaction() as tx:
        await erase_complainant_data(tx)


@stack
async def test_complainant_data_is_erased_after_the_retention_period(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:

        async def register(**changes):
            return (
                await wang.post("/intake/api/complaints", json=complaint(**changes), headers=key())
            ).json()["number"]

        old, young, open_ = [await register() for _ in range(3)]
        again, handled = await register(), await register()
        await office.release(old)
        await clock.advance(days=40)
        today = await register()
        await opened(office, handled)
        for number in (again, handled, today):
            async with office.transaction() as tx:
                await merge_complaint(tx, number=number, into=old, by=office.person(Role.REVIEWER))
        for number, days_ago in ((old, 31), (young, 29)):
            await settled(office, number, days_ago=days_ago)

        await erase(office, days=0)
        assert await readable(office) == {old, young, open_, again, today, handled}, (
            "no period is set"
        )
        await erase(office, days=30)
        await erase(office, days=30)
        assert await readable(office) == {young, open_, today}, (
            "a repetition stays as long as what it repeats, and what is new stays"
        )

        await wang.post(
            f"/intake/api/complaints/{old}/supplements",
            json={"text": "来电人补充说明情况"},
            headers=key(),
        )
        await erase(office, days=30)
    async with office.transaction() as tx:
        assert (
            await tx.fetchval("select count(*) from supplements where wrapped_key is not null") == 0
        )
        rows = await tx.fetch(
            "select number from audit a join complaints c on c.id::text = a.subject where action = 'complainant.data_erased'"
        )
        detail = await complaint_detail(tx, old, office.person(Role.REVIEWER))
    history = await look_up(office, "13812345678")
    assert {row["number"] for row in rows} == {old, again, handled}
    assert (detail.statement, detail.contact, detail.supplements) == ({}, [], [])
    assert {row.number for row in history} == {young, open_, today}
    async with await office.signed_in(Role.REVIEWER) as zhao:
        page = await zhao.get(f"/intake/tickets/{old}")
    assert "原文已按保存期限销毁" in page.text
    assert WORDS in page.text, "the redacted summary stays"


@stack
async def test_files_are_removed_one_run_after_their_keys(office, key, clock):
    """The clock guard may roll back a run after it has deleted rows."""
    async with await office.signed_in(Role.OPERATOR) as wang:
        registered = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()
    async with office.transaction() as tx:
        upload = await attachments.prepare(picture())
        await attachments.upload(tx, uuid5(NAMESPACE_OID, "form draft"), upload)
        await files.attach_to_complaint(
            tx, uuid5(NAMESPACE_OID, "form draft"), UUID(registered["id"])
        )
    await clock.advance(days=40)
    await settled(office, registered["number"], days_ago=31)
    office.context.settings.complainant_retention_days = 30
    stored = list(office.context.files.path.rglob("*"))

    with suppress(ClockGuardActive):
        async with office.transaction() as tx:
            await erase_complainant_data(tx)
            raise ClockGuardActive
    assert list(office.context.files.path.rglob("*")) == stored
    await erase(office, days=30)
    await erase(office, days=30)

    assert [path for path in office.context.files.path.rglob("*") if path.is_file()] == []
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from files") == 0


@stack
async def test_retention_without_a_case_counts_from_registration(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:
        praise = (
            await wang.post("/intake/api/complaints", json=complaint(kind="praise"), headers=key())
        ).json()["id"]
        await wang.post("/intake/api/complaints", json=complaint(), headers=key())
    await clock.advance(days=31)

    async with office.transaction() as tx:
        before, caseless = tx.now - timedelta(days=30), {CAMPAIGN: ["praise", "suggestion"]}
        found = await vault.long_settled(tx, before=before, caseless=caseless, batch=9)
        earlier = await vault.long_settled(
            tx, before=before - timedelta(days=2), caseless=caseless, batch=9
        )
        without = await vault.long_settled(tx, before=before, caseless={}, batch=9)
    assert found == [UUID(praise)], "what nobody settled is kept, however old"
    assert earlier == without == []


async def readable(office):
    """Return the numbers of complaints whose vault parts can still be decrypted."""
    async with office.transaction() as tx:
        rows = await tx.fetch(
            "select c.number, v.* from vault v join complaints c on c.id = v.complaint_id"
        )
    found = set()
    for row in rows:
        with suppress(KeyDestroyed):
            office.context.ring.unseal(
                f"{row['complaint_id']}/{row['part']}",
                SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"]),
            )
            found.add(row["number"])
    return found
