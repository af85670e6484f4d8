"""Kafka records that are stored in a table, in the shape of the client library's records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True)
class StoredRecord:
    """A record read from `buffered_events` or `dead_letters`; satisfies `envelope.Record`."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = field(default_factory=list)


def headers_from_json(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Return record headers from the JSON object that `headers_as_json` wrote."""
    return [(name, value.encode()) for name, value in headers.items()]


def headers_as_json(headers: Mapping[str, str]) -> str:
    """Return record headers as a JSON object, for a jsonb column."""
    return msgspec.json.encode(headers).decode()
