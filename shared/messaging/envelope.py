"""The envelope of an event in Kafka: CloudEvents 1.0, binary mode, in the record's headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol
from uuid import UUID

import msgspec

from shared.appraisal.events import EVENTS, Event, Meta, decode


class Record(Protocol):
    """A record as the client library gives it, or as one of our tables keeps it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


_VERSION, _JSON = ("ce_specversion", b"1.0"), ("content-type", b"application/json")


def plain(topic: str) -> str:
    """A topic's own name, without the installation's prefix."""
    return topic.rpartition(".")[2]


class Unreadable(ValueError):
    """These bytes are no event of ours. The reason is a code, the detail has no content."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Arrival:
    """One record with its envelope read; the body is decoded only for those who hear this type, and
    once.
    """

    meta: Meta
    recorded_at: float
    """Unix seconds (real clock) at which the sender's row was written."""
    trace: str | None
    body: bytes
    record: Record
    _event: Event | None = None

    @property
    def once(self) -> bool:
        return EVENTS[self.meta.type].once

    def event(self) -> Event:
        """Raises Unreadable when the body breaks the contract, and nothing else."""
        if self._event is None:
            try:
                self._event = decode(self.meta.type, self.body)
            except Exception as error:
                raise Unreadable("body", type(error).__name__) from error
        return self._event


def write_headers(
    *,
    event_id: UUID,
    service: str,
    type: str,
    key: str,
    version: int,
    occurred_at: datetime,
    created_at: datetime,
    trace: str | None,
) -> list[tuple[str, bytes]]:
    """Headers of the CloudEvents Kafka binding, with the aggregate's version and W3C trace context
    as extensions.
    """
    headers = [
        _VERSION,
        _JSON,
        ("ce_id", str(event_id).encode()),
        ("ce_source", f"/fengping/{service}".encode()),
        ("ce_type", type.encode()),
        ("ce_subject", key.encode()),
        ("ce_time", occurred_at.isoformat().encode()),
        ("ce_sequence", b"%d" % version),
        ("ce_recordedtime", b"%.6f" % created_at.timestamp()),
    ]
    if trace:
        headers.append(("ce_traceparent", trace.encode()))
    return headers


class _Said(msgspec.Struct):
    """What the headers say, by their names on the wire."""

    id: UUID = msgspec.field(name="ce_id")
    type: str = msgspec.field(name="ce_type")
    key: str = msgspec.field(name="ce_subject")
    version: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="ce_sequence")
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="ce_time")
    recorded_at: float = msgspec.field(name="ce_recordedtime")
    trace: str | None = msgspec.field(name="ce_traceparent", default=None)


def read(record: Record) -> Arrival:
    """Read a record's envelope.

    Raises Unreadable with the reason (tombstone, headers, type, key) and nothing else: a record
    takes none of its neighbours along.
    """
    if record.value is None:
        raise Unreadable("tombstone", "no body")
    try:
        said = msgspec.convert(
            {name: value.decode() for name, value in record.headers if value is not None},
            _Said,
            strict=False,
        )
        meta = Meta(
            event_id=said.id,
            type=said.type,
            key=said.key,
            version=said.version,
            occurred_at=said.occurred_at.astimezone(UTC),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
    except Exception as error:  # whatever a stranger wrote
        raise Unreadable("headers", type(error).__name__) from error
    known = EVENTS.get(meta.type)
    if known is None or known.topic != plain(record.topic):
        raise Unreadable("type", meta.type[:80])
    if record.key != meta.key.encode():
        raise Unreadable("key", "differs from ce_subject")
    return Arrival(meta, said.recorded_at, said.trace, record.value, record)


def headers_as_text(record: Record) -> dict[str, str]:
    """Headers of any record, also a broken one, for the dead-letter table."""
    text = {
        str(name)[:200]: (value or b"").decode("utf-8", "backslashreplace")[:2000]
        for name, value in record.headers
    }
    return {
        name.replace("\x00", "\\x00"): value.replace("\x00", "\\x00")
        for name, value in text.items()
    }
