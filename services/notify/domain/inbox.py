"""The state of a notification in one person's inbox."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final


class ReadState(StrEnum):
    """What one person did with a notification."""

    UNREAD = "unread"
    SEEN = "seen"
    RESOLVED = "resolved"
    DONE = "done"

    @property
    def label(self) -> str:
        """The state's name on pages; "" while unread."""
        return _LABELS[self]

    @property
    def needs_no_action(self) -> bool:
        """True if the person marked it as done or a later event resolved it."""
        return self in (ReadState.DONE, ReadState.RESOLVED)


_LABELS: Final[Mapping[ReadState, str]] = {
    ReadState.UNREAD: "",
    ReadState.SEEN: "已读",
    ReadState.RESOLVED: "已了结",
    ReadState.DONE: "已处理",
}


def read_state(
    *, seen_at: datetime | None, done_at: datetime | None, resolved_at: datetime | None
) -> ReadState:
    """Return the strongest state that applies."""
    if done_at:
        return ReadState.DONE
    if resolved_at:
        return ReadState.RESOLVED
    return ReadState.SEEN if seen_at else ReadState.UNREAD
