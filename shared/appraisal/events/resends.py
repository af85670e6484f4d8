"""Events of topic `resends`, published by every service."""

from typing import ClassVar
from uuid import UUID

from shared.appraisal.events.base import Event


class ResendRequested(Event, frozen=True, kw_only=True):
    """A consumer misses versions of an aggregate; the topic's owner republishes them."""

    topic: ClassVar[str] = "resends"
    name: ClassVar[str] = "resend.requested.v1"
    single_event: ClassVar[bool] = True
    request_id: UUID
    wanted_topic: str
    wanted_key: str
    from_version: int
    to_version: int

    @property
    def key(self) -> str:
        return str(self.request_id)
