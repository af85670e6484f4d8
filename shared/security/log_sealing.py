"""Seals a service's audit log with its signing keys, and replaces these while services run.

Decision: a rotation writes the new keys beside the old ones, then inserts an entry that names the
new public key, seals the log with the old key and registers the new one in one transaction, and
last renames the file. Whoever seals reads the file after taking the lock of the log and stops while
the database knows a newer key: entries wait for their seal until the new file has arrived, and no
operation waits for anything.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.security import audit
from shared.security.audit import SqlTransaction
from shared.security.service_keys import SIGNING, ServiceKeys, register_keys
from shared.security.signing_keys import SigningKeys

BATCHES_MAX: Final = 10_000
"""Batches that a rotation seals at most: five million entries."""


async def seal_log(tx: SqlTransaction, keys: ServiceKeys) -> bool:
    """Seal entries of this schema's log; return whether there may be more."""
    if not await audit.lock_log(tx):
        return False
    signing = keys.signing
    if await _newest_version(tx) > signing.version:
        return False
    return await audit.seal(tx, signing.signer(keys.service)) is not None


async def rotate_signing_key(
    transaction: Callable[[], AbstractAsyncContextManager[SqlTransaction]],
    keys: ServiceKeys,
    *,
    by: str,
) -> SigningKeys:
    """Replace the key that signs a log and return the new keys.

    A rotation that was interrupted after its transaction is completed first.
    """
    waiting = _waiting_path(keys)
    async with transaction() as tx:
        await tx.run(_WAIT_FOR_LOCK)
        if await _newest_version(tx) <= keys.signing.version:
            new_keys = await _replace(tx, keys, by=by)
            new_keys.save(waiting)
    waiting.replace(keys.path(SIGNING))
    return keys.signing


async def _replace(tx: SqlTransaction, keys: ServiceKeys, *, by: str) -> SigningKeys:
    """Leave the last entry of the old key, seal everything with it, and register the new key."""
    signing = keys.signing
    new = Ed25519PrivateKey.generate()
    await _insert_entry(tx, signing, new, by=by)
    signer = signing.signer(keys.service)
    for _ in range(BATCHES_MAX):
        if await audit.seal(tx, signer) is None:
            break
    size = (await tx.fetch(_SEALED_SIZE))[0]["size"]
    new_keys = signing.replaced_by(new, last_size=size)
    await register_keys(tx, {(SIGNING.name, new_keys.version): _public_bytes(new)})
    return new_keys


async def _insert_entry(
    tx: SqlTransaction, signing: SigningKeys, new: Ed25519PrivateKey, *, by: str
) -> None:
    facts: dict[str, Any] = {
        "version": signing.version + 1,
        "public_key": b64encode(_public_bytes(new)).decode(),
    }
    await tx.run(_INSERT_ENTRY, by, SIGNING.name, json.dumps(facts))


async def _newest_version(tx: SqlTransaction) -> int:
    """Return the newest version that the database knows; 0 if it knows none yet."""
    return int((await tx.fetch(_NEWEST_VERSION, SIGNING.name))[0]["version"])


def _waiting_path(keys: ServiceKeys) -> Path:
    path = keys.path(SIGNING)
    return path.with_name(f"{path.name}.next")


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


_WAIT_FOR_LOCK: Final = """
select pg_advisory_xact_lock(hashtextextended('audit:' || current_schema(), 0))
"""
_NEWEST_VERSION: Final = """
select coalesce(max(version), 0) as version from key_checks where kind = $1
"""
_INSERT_ENTRY: Final = """
insert into audit (at, actor, action, subject, details)
values (public.app_now(), $1, 'key.rotated', $2, $3::jsonb)
"""
_SEALED_SIZE: Final = "select coalesce(max(position) + 1, 0) as size from audit"
