"""Read database records as typed rows."""

from collections.abc import Iterable
from typing import TypeVar

import asyncpg
import msgspec

from shared.security.keyring import SealedRecord

StructT = TypeVar("StructT", bound=msgspec.Struct)


class SealedRow(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of an encrypted record."""

    ciphertext: bytes
    wrapped_key: bytes | None
    key_version: int

    @property
    def sealed(self) -> SealedRecord:
        return SealedRecord(self.ciphertext, self.wrapped_key, self.key_version)


def read_row(row_type: type[StructT], record: asyncpg.Record) -> StructT:
    """Return a record as `row_type`. Raises ValidationError if a column is missing or invalid."""
    return msgspec.convert(dict(record), row_type)


def read_optional(row_type: type[StructT], record: asyncpg.Record | None) -> StructT | None:
    return None if record is None else read_row(row_type, record)


def read_rows(row_type: type[StructT], records: Iterable[asyncpg.Record]) -> list[StructT]:
    return [read_row(row_type, record) for record in records]
