"""The base class of all events and the metadata that travels with one."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware datetime. Decoding rejects one without a time zone."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A past-tense fact. `occurred_at` is the legal time (`app_now()`) at which it became true."""

    topic: ClassVar[str] = ""
    name: ClassVar[str] = ""
    single_event: ClassVar[bool] = False
    """The aggregate only ever has this one event: its version is 1 and no order is kept."""
    traced: ClassVar[bool] = True
    """Whether the event continues the trace of the request or job that published it."""

    occurred_at: Instant

    @property
    def key(self) -> str:
        """The aggregate id. It is also the Kafka key: an aggregate stays in one partition."""
        raise NotImplementedError


class Meta(msgspec.Struct, frozen=True):
    """The envelope of a consumed event and its position in the log."""

    event_id: UUID
    type: str
    key: str
    version: int
    occurred_at: datetime
    topic: str
    partition: int
    offset: int
