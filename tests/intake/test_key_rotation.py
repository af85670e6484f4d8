"""A new master key while complaints come in: none is lost, and the old key can be destroyed."""

import asyncio
import shutil
from uuid import UUID

import pytest

from services.intake.actions import opinions
from services.intake.actions.hotline_drafts import save_draft
from services.intake.actions.supplements import add_supplement
from services.intake.domain.questionnaires import WrittenAnswer
from services.intake.store import campaigns, files, vault
from services.intake.store.encrypted_files import prepare_upload
from services.intake.store.sealed_tables import SEALED_TABLES
from shared.appraisal.labels import Role
from shared.security.keyring import VaultError
from shared.security.master_keys import (
    SealedData,
    StillNeeded,
    destroy_master_key,
    records_by_version,
    rewrap,
    rotate_master_key,
)
from shared.security.service_keys import service_keys
from shared.storage.connections import Database
from tests.conftest import on_server
from tests.intake.conftest import CAMPAIGN, WORDS, complaint
from tests.intake.test_visits import picture

pytestmark = pytest.mark.stack


@pytest.fixture
def own_keys(settings, tmp_path):
    """Give this test a copy of the keys that it may change."""
    copy = tmp_path / "own-keys"
    shutil.copytree(settings.keys_folder, copy)
    settings.keys_folder = copy
    return service_keys("intake", settings)


async def rewrap_everything(office):
    more = True
    while more:
        async with office.transaction() as tx:
            more = await rewrap(tx, SealedData(office.context.ring, SEALED_TABLES))


async def versions(office):
    async with office.transaction() as tx:
        return set(await records_by_version(tx, SEALED_TABLES))


async def readable(office, ring):
    """Return how many statements can be decrypted, of how many."""
    async with office.transaction() as tx:
        ids = [row["id"] for row in await tx.fetch("select id from complaints")]
        texts = [await vault.read_part(tx, ring, id, "statement") for id in ids]
    return sum(bool(text) for text in texts), len(ids)


async def test_rotation_under_load_loses_no_complaint(own_keys, office, key):
    answers = []
    stopped = asyncio.Event()

    async def load(client):
        while not stopped.is_set():
            response = await client.post("/intake/api/complaints", json=complaint(), headers=key())
            answers.append(response.status_code)

    async with await office.signed_in(Role.OPERATOR) as wang:
        posting = [asyncio.create_task(load(wang)) for _ in range(3)]
        await asyncio.sleep(0.3)
        version = await rotate_master_key(office.database.transaction, own_keys, by="test")
        await rewrap_everything(office)
        before = len(answers)
        while len(answers) < before + 20:
            await asyncio.sleep(0.02)
        stopped.set()
        await asyncio.gather(*posting)
    await rewrap_everything(office)

    assert version == 2
    assert set(answers) == {201}
    assert await versions(office) == {2}
    only_new = own_keys.ring.without(1)
    assert await readable(office, only_new) == (len(answers), len(answers))


async def test_other_process_reads_and_writes_through_the_rotation(own_keys, office, key):
    """A process that has not read its ring again reads what another has re-wrapped."""
    async with await office.signed_in(Role.OPERATOR) as wang:
        await wang.post("/intake/api/complaints", json=complaint(), headers=key())
    behind = own_keys.ring
    await rotate_master_key(office.database.transaction, own_keys, by="test")
    await rewrap_everything(office)

    assert behind.current == 1
    assert await readable(office, behind) == (1, 1)
    assert behind.current == 2


async def test_every_sealed_table_is_rewrapped(own_keys, office, settings, key):
    """The ids in SEALED_TABLES are those under which the records were sealed."""
    operator = office.person(Role.OPERATOR)
    async with await office.signed_in(Role.OPERATOR) as wang:
        posted = await wang.post("/intake/api/complaints", json=complaint(), headers=key())
    async with office.transaction() as tx:
        await add_supplement(tx, number=posted.json()["number"], text=WORDS, by=operator)
        await save_draft(tx, UUID(int=1), {"text": WORDS}, by=operator)
        await add_opinion(tx)
        upload = await prepare_upload(picture())
        file = await office.context.files.write(UUID(int=2), upload)
        await files.add(tx, file, subject="form_draft", subject_id=UUID(int=3), by=None)
        counts = await records_by_version(tx, SEALED_TABLES)
    await rotate_master_key(office.database.transaction, own_keys, by="test")

    await rewrap_everything(office)

    assert await sealed_columns(settings) == {table.name for table in SEALED_TABLES}
    assert counts == {1: 7}, "two parts of a complaint, and one record of each other kind"
    async with office.transaction() as tx:
        assert await records_by_version(tx, SEALED_TABLES) == {2: 7}


async def add_opinion(tx):
    campaign = await campaigns.get(tx, CAMPAIGN)
    written = [WrittenAnswer(unit_no=1, item_no=1, text=WORDS)]
    await opinions.store_written(
        tx, campaign=campaign, instrument="resident", group="all", written=written, hour=tx.now
    )


async def sealed_columns(settings):
    """Return the tables of intake that have a wrapped key."""
    database = Database(settings.database_url, "intake", pool_size=1)
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "select table_name from information_schema.columns "
            "where table_schema = 'intake' and column_name = 'wrapped_key'"
        )
    await database.close()
    return {row["table_name"] for row in rows}


async def test_old_key_is_destroyed_only_when_nothing_needs_it(own_keys, office, key):
    transaction = office.database.transaction

    async def destroy(version):
        await destroy_master_key(transaction, own_keys, SEALED_TABLES, version=version, by="test")

    async with await office.signed_in(Role.OPERATOR) as wang:
        await wang.post("/intake/api/complaints", json=complaint(), headers=key())
    with pytest.raises(VaultError):
        await destroy(1)
    await rotate_master_key(transaction, own_keys, by="test")
    with pytest.raises(StillNeeded, match="records still need version 1"):
        await destroy(1)
    await rewrap_everything(office)
    with pytest.raises(StillNeeded, match="a process may still use version 1"):
        await destroy(1)
    assert set(own_keys.ring.master_keys) == {1, 2}

    await an_hour_passes(office)
    await destroy(1)

    assert set(own_keys.ring.master_keys) == {2}
    assert await readable(office, own_keys.ring) == (1, 1)
    async with office.transaction() as tx:
        entries = await tx.fetch("select action from audit where action like 'key.%' order by id")
    assert [entry["action"] for entry in entries] == ["key.rotated", "key.destroyed"]


async def an_hour_passes(office):
    """Move every rotation into the past, as it would be an hour later."""
    url = office.service.settings.database_url
    await on_server(url, "update intake.key_checks set at = at - interval '1 hour'")
