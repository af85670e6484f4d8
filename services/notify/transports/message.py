"""What a transport sends, and the error it raises."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

TITLE_PREFIX: Final = "【作风评议】"


class TransportError(Exception):
    """A message was not delivered.

    `permanent`: another attempt cannot succeed. The sentence contains no part of the address and
    nothing that the other side answered except a status code.
    """

    def __init__(self, sentence: str, *, permanent: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.permanent = permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """A notification as it leaves the installation.

    `key` is the same in every attempt, `link` is an absolute URL, instants are aware.
    """

    key: UUID
    subscription_id: UUID
    kind: str
    title: str
    number: str
    text: str
    link: str
    due_at: datetime | None
    occurred_at: datetime

    @property
    def full_title(self) -> str:
        return TITLE_PREFIX + self.title

    def as_json(self) -> bytes:
        """Return the body of a webhook."""
        document = {
            "type": self.kind,
            "timestamp": _format_iso(self.occurred_at),
            "data": self._content(),
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def _content(self) -> dict[str, str | None]:
        return {
            "title": self.title,
            "number": self.number,
            "text": self.text,
            "link": self.link,
            "due_at": _format_iso(self.due_at) if self.due_at else None,
        }

    def as_text(self) -> str:
        """Return the text for people. Its last line identifies a message that arrives twice."""
        return f"{self.text}\n\n请登录查看：{self.link}\n\n通知号：{str(self.key)[-12:]}"


def _format_iso(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
