"""The state of a notification in one person's inbox."""

from datetime import datetime

from shared.appraisal.labels import LabelledEnum


class ReadState(LabelledEnum):
    """What one person did with a notification. Unread ones have no label."""

    UNREAD = "unread"
    SEEN = "seen", "已读"
    RESOLVED = "resolved", "已了结"
    DONE = "done", "已处理"

    @property
    def needs_no_action(self) -> bool:
        """True if the person marked it as done or a later event resolved it."""
        return self in (ReadState.DONE, ReadState.RESOLVED)


def read_state(
    *,
    seen_at: datetime | None,
    done_at: datetime | None,
    resolved_at: datetime | None,
) -> ReadState:
    """Return the strongest state that applies."""
    if done_at:
        return ReadState.DONE
    if resolved_at:
        return ReadState.RESOLVED
    return ReadState.SEEN if seen_at else ReadState.UNREAD
