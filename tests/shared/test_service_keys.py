"""Each service has a folder of keys of its own; none is made again while data needs it."""

import stat
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.foundation.settings import Settings
from shared.security import audit, log_verification
from shared.security.keyring import InvalidKeyRing, KeyRing, VaultError
from shared.security.log_sealing import rotate_signing_key, seal_log
from shared.security.service_keys import (
    KINDS,
    SIGNING,
    VAULT,
    MissingKey,
    ServiceKeys,
    check_keys,
    registered_keys,
)
from shared.security.signing_keys import SigningKeys
from shared.storage.connections import Database
from shared.storage.schema import SERVICES

Core = tuple[Settings, Callable[[str], Awaitable[Database]]]
RECORD = "a-record"


def new_keys(folder: Path, service: str = "intake") -> ServiceKeys:
    keys = ServiceKeys(service, folder / service)
    keys.create_missing()
    return keys


# ── files


def test_keys_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys")
    before = {kind: keys.path(kind).read_text() for kind in KINDS}

    assert keys.create_missing() == []

    assert {kind: keys.path(kind).read_text() for kind in KINDS} == before
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in keys.folder.iterdir()}
    assert modes == {0o600}
    assert len(list(keys.folder.iterdir())) == len(KINDS)


def test_processes_that_start_together_get_the_same_keys(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as processes:
        made = list(processes.map(new_keys, [tmp_path] * 16))

    texts = {keys.path(VAULT).read_text() for keys in made}
    assert len(texts) == 1


def test_no_service_has_a_key_of_another(tmp_path: Path) -> None:
    all_keys = [new_keys(tmp_path, service) for service in SERVICES]

    intake = all_keys[0].ring.seal(RECORD, {"name": "张三"})

    assert [bool(keys.ring.master_keys) for keys in all_keys] == [True, False, False, True]
    for other in all_keys[1:]:
        with pytest.raises(VaultError):
            other.ring.unseal(RECORD, intake)
    assert len({keys.path(SIGNING).read_text() for keys in all_keys}) == len(SERVICES)
    assert len({keys.ring.root for keys in all_keys}) == len(SERVICES)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"private": "bTE=", "retired": []}'])
def test_malformed_signing_keys_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(InvalidKeyRing) as refused:
        SigningKeys.from_text(text)

    assert "bTE" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_signing_keys_open_to_others_are_refused(tmp_path: Path) -> None:
    keys = new_keys(tmp_path)
    keys.path(SIGNING).chmod(0o644)

    with pytest.raises(InvalidKeyRing, match="0600"):
        _ = keys.signing


# ── keys and data belong together


async def test_start_is_refused_with_keys_that_are_not_those_of_the_data(
    core: Core, tmp_path: Path
) -> None:
    database = await core[1]("intake")
    keys = new_keys(tmp_path / "first")
    other = new_keys(tmp_path / "second")
    async with database.transaction() as tx:
        await check_keys(tx, keys)

    async with database.transaction() as tx:
        await check_keys(tx, keys)
        with pytest.raises(MissingKey, match="restore them from a backup"):
            await check_keys(tx, other)


async def test_start_is_refused_with_a_ring_that_is_older_than_the_data(
    core: Core, tmp_path: Path
) -> None:
    database = await core[1]("intake")
    keys = new_keys(tmp_path)
    old_ring = keys.ring
    old_ring.rotated().save(keys.path(VAULT))
    async with database.transaction() as tx:
        await check_keys(tx, keys)

    old_ring.save(keys.path(VAULT))

    async with database.transaction() as tx:
        with pytest.raises(MissingKey, match="version 2 is missing"):
            await check_keys(tx, keys)


async def test_destroyed_old_master_key_does_not_stop_the_start(core: Core, tmp_path: Path) -> None:
    database = await core[1]("intake")
    keys = new_keys(tmp_path)
    async with database.transaction() as tx:
        await check_keys(tx, keys)

    keys.ring.rotated().without(1).save(keys.path(VAULT))

    async with database.transaction() as tx:
        await check_keys(tx, keys)


async def test_key_that_data_needs_is_not_made_again(core: Core, tmp_path: Path) -> None:
    database = await core[1]("intake")
    keys = new_keys(tmp_path)
    async with database.transaction() as tx:
        await check_keys(tx, keys)
        registered = {kind for kind, _, _ in await registered_keys(tx)}
    keys.path(VAULT).unlink()

    with pytest.raises(MissingKey, match=r"keyring\.json is missing"):
        keys.create_missing(registered)

    assert not keys.path(VAULT).exists()


# ── rotation of the vault's master key


def test_process_with_the_old_ring_reads_what_the_new_key_wraps(tmp_path: Path) -> None:
    keys = new_keys(tmp_path)
    running = keys.ring
    keys.ring.rotated().save(keys.path(VAULT))
    sealed = keys.ring.seal(RECORD, {"name": "张三"})

    assert sealed.key_version == 2
    assert running.unseal(RECORD, sealed) == {"name": "张三"}
    assert running.current == 2


def test_current_master_key_cannot_be_destroyed() -> None:
    ring = KeyRing.generate().rotated()

    assert set(ring.without(1).master_keys) == {2}
    for version in (2, 3):
        with pytest.raises(VaultError):
            ring.without(version)


# ── rotation of the signing key


async def seal_everything(database: Database, keys: ServiceKeys) -> None:
    more = True
    while more:
        async with database.transaction() as tx:
            more = await seal_log(tx, keys)


async def write_entries(database: Database, count: int) -> None:
    async with database.transaction() as tx:
        for number in range(count):
            tx.audit("test.wrote", number, "system")


async def violation(database: Database, keys: ServiceKeys) -> audit.AuditViolation | None:
    async with database.transaction() as tx:
        return await log_verification.verify_log(tx, keys.signing.signer(keys.service).verifier)


async def test_rotated_signing_key_is_named_by_the_last_entry_of_the_old_one(
    core: Core, tmp_path: Path
) -> None:
    database = await core[1]("casework")
    keys = new_keys(tmp_path, "casework")
    old = keys.signing
    await write_entries(database, 3)
    await seal_everything(database, keys)

    await rotate_signing_key(database.transaction, keys, by="system")
    await write_entries(database, 2)
    await seal_everything(database, keys)

    new = keys.signing
    assert (new.version, new.retired[0].last_size) == (2, 4)
    async with database.transaction() as tx:
        entry = (await tx.fetch("select * from audit where action = 'key.rotated'"))[0]
        entry = audit.entry_from_row(entry)
    assert old.signer("casework").verifier.verify_entry(entry, 3), "sealed by the old key"
    assert await violation(database, keys) is None
    only_new = ServiceKeys("casework", tmp_path / "only-new")
    SigningKeys(new.current).save(only_new.path(SIGNING))
    assert await violation(database, only_new) is not None, "the old public key is needed"


async def test_old_key_signs_nothing_longer_than_the_log_was(core: Core, tmp_path: Path) -> None:
    database = await core[1]("casework")
    keys = new_keys(tmp_path, "casework")
    stolen = keys.signing
    await write_entries(database, 3)
    await rotate_signing_key(database.transaction, keys, by="system")
    await write_entries(database, 2)

    async with database.transaction() as tx:
        await audit.seal(tx, stolen.signer("casework"))

    assert await violation(database, keys) is not None


async def test_process_without_the_new_file_waits_with_sealing(core: Core, tmp_path: Path) -> None:
    database = await core[1]("casework")
    keys = new_keys(tmp_path / "rotated", "casework")
    behind = ServiceKeys("casework", tmp_path / "behind")
    keys.signing.save(behind.path(SIGNING))
    await rotate_signing_key(database.transaction, keys, by="system")
    await write_entries(database, 2)

    async with database.transaction() as tx:
        sealed = await seal_log(tx, behind)
    keys.signing.save(behind.path(SIGNING))
    async with database.transaction() as tx:
        sealed_later = await seal_log(tx, behind)

    assert (sealed, sealed_later) == (False, True)
    assert await violation(database, keys) is None


async def test_interrupted_rotation_is_completed(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await core[1]("casework")
    keys = new_keys(tmp_path, "casework")
    monkeypatch.setattr(Path, "replace", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        await rotate_signing_key(database.transaction, keys, by="system")
    monkeypatch.undo()
    assert keys.signing.version == 1

    completed = await rotate_signing_key(database.transaction, keys, by="system")

    assert (completed.version, keys.signing.version) == (2, 2)
    await write_entries(database, 1)
    await seal_everything(database, keys)
    assert await violation(database, keys) is None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_key_of_another_service_verifies_nothing(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    checkpoint = SigningKeys(key).signer("intake").checkpoint(audit.Tree())

    assert SigningKeys(key).signer("intake").verifier.verify_checkpoint(checkpoint)
    assert not SigningKeys(key).signer("casework").verifier.verify_checkpoint(checkpoint)
