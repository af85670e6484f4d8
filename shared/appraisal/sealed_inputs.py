"""Which events are sealed at their owner, and the bytes of an event that a seal covers.

docs/export-format.md specifies these bytes: a change makes every earlier seal invalid.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

SEALED_TOPICS: Final = frozenset({"ballots", "campaigns", "cases", "complaints", "visits"})
"""Topics of which every event is sealed: what a score is computed from, and what was received."""
TEXT_FIELDS: Final = frozenset({"reply", "redacted_summary", "explanation", "text"})
"""Fields of bodies that people write. A seal covers their digest, an export has the digest only."""
TEXT_FIELDS_OF_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "case.sent_back.v1": frozenset({"reason"}),
    "ballots.voided.v1": frozenset({"reason"}),
    "ballots.hold_ended.v1": frozenset({"reason"}),
}


def sealed_content(
    *,
    id: UUID,
    part: int,
    type: str,
    key: str,
    version: int,
    at: datetime,
    body: Mapping[str, Any],
) -> bytes:
    """Return the content of an input: canonical JSON, texts replaced by their digests.

    The id of the input salts the digests, so that equal texts do not look equal.
    """
    content = {
        "id": f"{id}/{part}",
        "type": type,
        "key": key,
        "version": version,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "body": _without_texts(body, TEXT_FIELDS | TEXT_FIELDS_OF_TYPE.get(type, set()), str(id)),
    }
    return _ENCODER.encode(content).encode()


def _without_texts(value: Any, fields: frozenset[str], salt: str) -> Any:
    if isinstance(value, list):
        return [_without_texts(each, fields, salt) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _field(name, each, fields, salt) for name, each in value.items()}


def _field(name: str, value: Any, fields: frozenset[str], salt: str) -> Any:
    if name in fields and isinstance(value, str):
        return {"sha256": text_digest(salt, value)}
    return _without_texts(value, fields, salt)


def text_digest(salt: str, text: str) -> str:
    """Return what stands for a text: 64 hex digits."""
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()


NOT_EXPORTED: Final = frozenset({"complaint.registered.v1", "complaint.repeated.v1"})
"""Types that no score depends on: their leaves are exported without content."""
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
