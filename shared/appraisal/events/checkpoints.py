"""Events of topic `checkpoints`, published by every service."""

from typing import ClassVar

from shared.appraisal.events.base import Event


class CheckpointPublished(Event, frozen=True, kw_only=True):
    """A signed checkpoint of the audit log `origin`, kept in Kafka for ever.

    A log that was cut or rebuilt contradicts the earlier ones. `note` is a C2SP signed note.
    """

    topic: ClassVar[str] = "checkpoints"
    name: ClassVar[str] = "checkpoint.published.v1"
    traced: ClassVar[bool] = False
    origin: str
    size: int
    note: str

    @property
    def key(self) -> str:
        return self.origin
