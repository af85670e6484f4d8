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


def unprefixed_topic(topic: str) -> str:
    """A topic's own name, without the installation's prefix."""
    return topic.rpartition(".")[2]


class RecordDecodeError(ValueError):
    """These bytes are no event of ours. The reason is a code, the detail has no content."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class IncomingEvent:
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
        return EVENTS[self.meta.type].single_event

    def event(self) -> Event:
        """Raises RecordDecodeError when the body breaks the contract, and nothing else."""
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


class _EnvelopeHeaders(msgspec.Struct):
    """What the headers say, by their names on the wire."""

    id: UUID = msgspec.field(name="ce_id")
    type: str = msgspec.field(name="ce_type")
    key: str = msgspec.field(name="ce_subject")
    version: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="ce_sequence")
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="ce_time")
    recorded_at: float = msgspec.field(name="ce_recordedtime")
    trace: str | None = msgspec.field(name="ce_traceparent", default=None)


def read(record: Record) -> IncomingEvent:
    """Read a record's envelope.

    Raises RecordDecodeError with the reason (tombstone, headers, type, key) and nothing else: a record
    takes none of its neighbours along.
    """
    if record.value is None:
        raise RecordDecodeError("tombstone", "no body")
    try:
        envelope = msgspec.convert(
            {name: value.decode() for name, value in record.headers if value is not None},
            _EnvelopeHeaders,
            strict=False,
        )
        meta = Meta(
            event_id=envelope.id,
            type=envelope.type,
            key=envelope.key,
            version=envelope.version,
            occurred_at=envelope.occurred_at.astimezone(UTC),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
    except Exception as error:  # whatever a stranger wrote
        raise RecordDecodeError("headers", type(error).__name__) from error
    event_class = EVENTS.get(meta.type)
    if event_class is None or event_class.topic != unprefixed_topic(record.topic):
        raise RecordDecodeError("type", meta.type[:80])
    if record.key != meta.key.encode():
        raise RecordDecodeError("key", "differs from ce_subject")
    return IncomingEvent(meta, envelope.recorded_at, envelope.trace, record.value, record)


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
