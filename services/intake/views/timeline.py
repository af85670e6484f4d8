"""Timelines on pages."""

from datetime import datetime

import msgspec


class TimelineEntry(msgspec.Struct, frozen=True):
    """One line of the timeline. `kind` "to": it is still to come."""

    at: datetime | None
    title: str
    kind: str = ""
    due: str = ""
