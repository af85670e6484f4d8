"""The folder `keys/<service>/`: every secret of one service, readable by its processes only.

Context: one ring for everything let a process of any service open the vault and sign every log. A
ring that was lost and silently made again would leave data that nobody can read.
Decision: each service has a folder of its own, which is all that its container mounts. `KINDS`
lists the files. `fengping migrate` and `fengping up` create what is missing; a service never does.
The database keeps a check value of each key that its data needs (`key_checks`): a service refuses
to start with a key that differs, and a missing file is not made again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from shared.foundation.private_files import create_private
from shared.foundation.settings import Settings
from shared.security.keyring import InvalidKeyRing, KeyRing
from shared.security.signing_keys import SigningKeys
from shared.storage.roles import PASSWORD_FILE

ENCRYPTING_SERVICES: Final = frozenset({"intake", "notify"})
"""intake encrypts complainants, notify the addresses of subscriptions; the others nothing."""
PASSWORD_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class KeyKind:
    """A kind of secret, its file in the folder, and how the first one of a service is made.

    `checked`: data is lost without it, so it has check values in the database.
    """

    name: str
    file: str
    generate: Callable[[str], str]
    checked: bool = True


def _new_ring(service: str) -> str:
    return KeyRing.generate(encrypts=service in ENCRYPTING_SERVICES).text()


def _new_signing_keys(_: str) -> str:
    return SigningKeys.generate().text()


def _new_password(_: str) -> str:
    return secrets.token_hex(PASSWORD_BYTES) + "\n"


VAULT: Final = KeyKind("vault", "keyring.json", _new_ring)
SIGNING: Final = KeyKind("signing", "signing.json", _new_signing_keys)
DATABASE: Final = KeyKind("database", PASSWORD_FILE, _new_password, checked=False)
KAFKA: Final = KeyKind("kafka", "kafka", _new_password, checked=False)
KINDS: Final = (VAULT, SIGNING, DATABASE, KAFKA)


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """The keys of one service. Reading a file raises InvalidKeyRing if it is missing."""

    service: str
    folder: Path

    def path(self, kind: KeyKind) -> Path:
        """Return where the keys of this kind are."""
        return self.folder / kind.file

    @property
    def ring(self) -> KeyRing:
        """The ring, read from its file."""
        return KeyRing.load(self.path(VAULT))

    @property
    def signing(self) -> SigningKeys:
        """The signing keys, read from their file."""
        return SigningKeys.load(self.path(SIGNING))

    def create_missing(self, registered: Collection[str] = ()) -> list[str]:
        """Create the files that are missing and return the names of their kinds.

        `registered` has the kinds that data needs: if such a file is missing, raises MissingKey
        and creates nothing.
        """
        missing = [kind for kind in KINDS if not self.path(kind).exists()]
        lost = [self.path(kind) for kind in missing if kind.name in registered]
        if lost:
            raise MissingKey(f"{lost[0]} is missing, but data needs it: restore it from a backup")
        return [kind.name for kind in missing if self._create(kind)]

    def _create(self, kind: KeyKind) -> bool:
        try:
            return create_private(self.path(kind), kind.generate(self.service))
        except OSError as error:
            message = f"{self.path(kind)} is missing and cannot be created ({error.strerror})"
            raise InvalidKeyRing(message) from error

    def check_values(self) -> dict[tuple[str, int], bytes]:
        """Return the check value of each key, by kind and version."""
        ring = self.ring
        versions = (0, *ring.master_keys)
        values = {(VAULT.name, version): ring.check_value(version) for version in versions}
        for version, key in enumerate(self.signing.public_keys, 1):
            values[SIGNING.name, version] = key.public_bytes_raw()
        return values


def service_keys(service: str, settings: Settings) -> ServiceKeys:
    """Return the keys of a service of this installation."""
    return ServiceKeys(service, settings.keys_of(service))


class MissingKey(InvalidKeyRing):
    """A key that data needs is missing, differs, or is older than the data."""


class SqlTransaction(Protocol):
    """The methods of `shared.storage.transaction.Transaction` that the check needs."""

    async def fetch(self, sql: str, /, *arguments: Any) -> Sequence[Any]:
        """Return the rows of a query."""

    async def run(self, sql: str, /, *arguments: Any) -> int:
        """Return the number of rows that a statement affected."""


async def check_keys(tx: SqlTransaction, keys: ServiceKeys) -> None:
    """Register new keys, and raise MissingKey unless the others are those that data was made with.

    Older master keys may be missing: they are destroyed after a rotation.
    """
    values = keys.check_values()
    for kind, version, digest in await registered_keys(tx):
        if values.get((kind, version), digest) != digest:
            raise MissingKey(_SENTENCE.format(keys.folder, kind, f"version {version} differs"))
        if version > max(present for name, present in values if name == kind):
            raise MissingKey(_SENTENCE.format(keys.folder, kind, f"version {version} is missing"))
    await register_keys(tx, values)


async def register_keys(tx: SqlTransaction, values: Mapping[tuple[str, int], bytes]) -> None:
    """Store check values, by kind and version; those that are stored stay."""
    for (kind, version), digest in values.items():
        await tx.run(_REGISTER, kind, version, digest)


async def registered_keys(tx: SqlTransaction) -> list[tuple[str, int, bytes]]:
    """Return (kind, version, check value) of every key that this schema's data was made with."""
    rows = await tx.fetch("select kind, version, digest from key_checks order by kind, version")
    keys: list[tuple[str, int, bytes]] = []
    for row in rows:
        kind, version, digest = row.values()
        keys.append((kind, version, digest))
    return keys


_SENTENCE: Final = (
    "{0}: the {1} keys are not those of the data in the database ({2}): restore them from a backup"
)
_REGISTER: Final = """
insert into key_checks (kind, version, digest) values ($1, $2, $3) on conflict do nothing
"""
