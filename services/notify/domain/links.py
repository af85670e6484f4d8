"""Where the link of a notification leads."""

from collections.abc import Mapping
from typing import Final

from services.notify.domain.rules import NotificationKind
from services.notify.domain.subjects import NotificationSubject

_FIXED_LINKS: Final[Mapping[str, str]] = {
    NotificationKind.OBLIGATION_WARNED: "/casework/obligations",
    NotificationKind.OBLIGATION_LAPSED: "/casework/obligations",
    NotificationKind.VISIT_HANDED_OVER: "/intake/field/plans",
}


def link_to(kind: str, subject: NotificationSubject) -> str:
    """Return the path of the page where the recipient can act."""
    if kind in _FIXED_LINKS:
        return _FIXED_LINKS[kind]
    if kind == NotificationKind.SCORE_FELL:
        campaign, _, unit = subject.id.partition(":")
        return f"/scoring/{campaign}/units/{unit}/changes"
    return f"/casework/cases/{subject.number}"
