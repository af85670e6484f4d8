"""The envelope of an event in Kafka: CloudEvents 1.0, binary mode, in the record's headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol
from uuid import UUID

import msgspec

from shared.appraisal.events import EVENTS, Event, Meta, decode

Aggregate = tuple[str, str]
"""Topic and key."""

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")
_HEADER_NAME_MAX = 200
_HEADER_VALUE_MAX = 2_000


class Record(Protocol):
    """A Kafka record, as the client library returns it or as a table stores it."""

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


def unprefixed_topic(topic: str) -> str:
    """Return the topic's name without the installation's prefix."""
    return topic.rpartition(".")[2]


class RecordDecodeError(ValueError):
    """Raised for a record that is not one of our events.

    `reason` is a code; `detail` never quotes the record's content.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class IncomingEvent:
    """A record whose envelope was read. The body is decoded on demand, once."""

    meta: Meta
    recorded_at: float
    """Unix seconds (real clock) at which the outbox row was inserted."""
    trace: str | None
    """W3C `traceparent` of the publisher."""
    body: bytes
    record: Record
    _event: Event | None = None

    @property
    def aggregate(self) -> Aggregate:
        """What the event happened to."""
        return self.meta.topic, self.meta.key

    @property
    def single_event(self) -> bool:
        """Whether the aggregate never has a second event, so that versions are not checked."""
        return EVENTS[self.meta.type].single_event

    def event(self) -> Event:
        """Return the decoded body. Raises RecordDecodeError if it breaks the contract."""
        if self._event is None:
            try:
                self._event = decode(self.meta.type, self.body)
            except Exception as error:
                raise RecordDecodeError("body", type(error).__name__) from error
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
    """Return the headers of the CloudEvents Kafka binding.

    Aggregate version and W3C trace context are CloudEvents extensions.
    """
    headers = [
        _SPEC_VERSION,
        _CONTENT_TYPE,
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


class _EnvelopeHeaders(msgspec.Struct):
    """The headers by their names on the wire."""

    id: UUID = msgspec.field(name="ce_id")
    type: str = msgspec.field(name="ce_type")
    key: str = msgspec.field(name="ce_subject")
    version: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="ce_sequence")
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="ce_time")
    recorded_at: float = msgspec.field(name="ce_recordedtime")
    trace: str | None = msgspec.field(name="ce_traceparent", default=None)


def read(record: Record) -> IncomingEvent:
    """Read a record's envelope.

    Raises RecordDecodeError with the reason (tombstone, headers, type, key) and nothing else, so
    that one bad record never affects its neighbours.
    """
    if record.value is None:
        raise RecordDecodeError("tombstone", "no body")
    try:
        envelope = _read_headers(record)
        meta = _meta(envelope, record)
    except Exception as error:  # a foreign producer may write anything
        raise RecordDecodeError("headers", type(error).__name__) from error
    event_class = EVENTS.get(meta.type)
    if event_class is None or event_class.topic != unprefixed_topic(record.topic):
        raise RecordDecodeError("type", meta.type[:80])
    if record.key != meta.key.encode():
        raise RecordDecodeError("key", "differs from ce_subject")
    return IncomingEvent(meta, envelope.recorded_at, envelope.trace, record.value, record)


def _read_headers(record: Record) -> _EnvelopeHeaders:
    headers = {name: value.decode() for name, value in record.headers if value is not None}
    return msgspec.convert(headers, _EnvelopeHeaders, strict=False)


def _meta(envelope: _EnvelopeHeaders, record: Record) -> Meta:
    return Meta(
        event_id=envelope.id,
        type=envelope.type,
        key=envelope.key,
        version=envelope.version,
        occurred_at=envelope.occurred_at.astimezone(UTC),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )


def headers_as_text(record: Record) -> dict[str, str]:
    """Return the headers of any record, however malformed, as text that fits into jsonb."""
    return {
        _printable(str(name)[:_HEADER_NAME_MAX]): _printable(_header_text(value))
        for name, value in record.headers
    }


def _header_text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")[:_HEADER_VALUE_MAX]


def _printable(text: str) -> str:
    return text.replace("\x00", "\\x00")
