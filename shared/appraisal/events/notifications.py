"""Events of topic `notifications`, published by notify."""

from typing import ClassVar
from uuid import UUID

from shared.appraisal.events.base import Event


class NotificationEvent(Event, frozen=True, kw_only=True):
    """Base of the events of a notification."""

    topic: ClassVar[str] = "notifications"
    notification_id: UUID
    kind: str

    @property
    def key(self) -> str:
        return str(self.notification_id)


class NotificationIssued(NotificationEvent, frozen=True, kw_only=True):
    """通知 to the accounts with these roles (in `unit_id`, if given). Never carries its content."""

    name: ClassVar[str] = "notification.issued.v1"
    roles: tuple[str, ...]
    unit_id: str | None
    subject_id: str


class NotificationDelivered(NotificationEvent, frozen=True, kw_only=True):
    """已送达: an external channel accepted the notification."""

    name: ClassVar[str] = "notification.delivered.v1"
    channel: str
    attempts: int


class NotificationFailed(NotificationEvent, frozen=True, kw_only=True):
    """Delivery was given up after the last attempt."""

    name: ClassVar[str] = "notification.failed.v1"
    channel: str
    attempts: int
