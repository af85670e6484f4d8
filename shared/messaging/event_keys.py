"""The keys that authenticate events: where they lie, how they are created and replaced.

A key belongs to one source, the service that publishes, and covers each of its topics with a secret
of its own. A reader's folder holds one file for each source that it publishes as or consumes from,
with the secrets of those topics only: notify cannot authenticate a ballot, because it never had the
secret of `ballots`. A replaced key is accepted until no log can hold an event that it
authenticated.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from shared.appraisal.events import OWNERS, SHARED_TOPICS, consumed_topics
from shared.foundation.private_files import read_private, write_private
from shared.messaging.kafka_access import written_topics
from shared.messaging.topics import RETENTION_DAYS
from shared.storage.schema import SERVICES

SECRET_BYTES = 32
KEY_ID_BYTES = 6
ACTIVATION = timedelta(seconds=30)
"""A new key signs after this time, in which every process of the same folder has read it."""
OVERLAP = timedelta(days=RETENTION_DAYS + 1)
"""A replaced key is accepted for this long: no log holds older events."""


class InvalidEventKeys(RuntimeError):
    """The keys of events are missing, malformed or readable by others."""


class EventKey(msgspec.Struct, frozen=True):
    """One key of a source: its secrets by topic, and when it signs and is accepted."""

    id: str
    signs_from: datetime
    topics: dict[str, bytes]
    retires_at: datetime | None = None

    def signs_at(self, now: datetime) -> bool:
        """Return whether events may be signed with it at `now`."""
        return self.signs_from <= now and self.accepts_at(now)

    def accepts_at(self, now: datetime) -> bool:
        """Return whether events that it authenticates are accepted at `now`."""
        return self.retires_at is None or now < self.retires_at


class SourceKeys(msgspec.Struct, frozen=True):
    """The keys of one source, oldest first: the content of one file."""

    source: str
    keys: tuple[EventKey, ...]

    def for_topics(self, topics: Sequence[str]) -> "SourceKeys":
        """Return the keys with the secrets of `topics` only."""
        return SourceKeys(self.source, tuple(_limited(key, topics) for key in self.keys))


def _limited(key: EventKey, topics: Sequence[str]) -> EventKey:
    kept = {topic: secret for topic, secret in key.topics.items() if topic in topics}
    return msgspec.structs.replace(key, topics=kept)


@dataclass(frozen=True, slots=True)
class KeyFolders:
    """The folders of all services, which only an administrator and a one-machine size can see.

    `of` returns the folder of one service, as `Settings.keys_of` does.
    """

    of: Callable[[str], Path]

    def create_missing(self, now: datetime) -> list[str]:
        """Create what is missing; return the sources that got their first key."""
        return [source for source in SERVICES if self._complete(source, now)]

    def rotate(
        self,
        now: datetime,
        *,
        source: str,
        activation: timedelta = ACTIVATION,
        overlap: timedelta = OVERLAP,
    ) -> str:
        """Give `source` a new key and return its id.

        The new key is accepted at once and signs after `activation`. The old ones are accepted for
        `overlap` longer, or not at all from the activation on if `overlap` is zero.
        """
        keys = load_source(self.of(source), source)
        new = _new_key(source, now + activation)
        retirement = new.signs_from + overlap
        kept = [_retired(key, retirement) for key in keys.keys if key.accepts_at(now)]
        self._write(SourceKeys(source, (*kept, new)))
        return new.id

    def _complete(self, source: str, now: datetime) -> bool:
        """Write the files of a source that are missing or lack a topic; True for its first key."""
        first = not key_file(self.of(source), source).exists()
        keys = SourceKeys(source, ()) if first else load_source(self.of(source), source)
        if first or set(written_topics(source)) != _common_topics(keys):
            keys = SourceKeys(source, (*keys.keys, _new_key(source, now)))
        self._write(keys)
        return first

    def _write(self, keys: SourceKeys) -> None:
        # The publisher last: by then every consumer has the key that it may sign with.
        for reader in sorted(SERVICES, key=lambda name: name == keys.source):
            topics = readable_topics(reader, keys.source)
            if topics:
                _save(self.of(reader), keys.for_topics(topics))


def key_file(folder: Path, source: str) -> Path:
    """Return the file of a source's keys in a reader's folder."""
    return folder / f"events-{source}.json"


def readable_topics(reader: str, source: str) -> list[str]:
    """Return the topics of `source` whose secrets a reader has: what it signs or consumes."""
    if reader == source:
        return written_topics(source)
    return [topic for topic in written_topics(source) if topic in consumed_topics(reader)]


def may_publish(source: str, topic: str) -> bool:
    """Return whether events of `topic` may come from `source`."""
    return OWNERS.get(topic) == source or (topic in SHARED_TOPICS and source in SERVICES)


def load_source(folder: Path, source: str) -> SourceKeys:
    """Return the keys of a source in a reader's folder. Raises InvalidEventKeys."""
    path = key_file(folder, source)
    try:
        keys = msgspec.json.decode(read_private(path), type=SourceKeys)
    except (OSError, ValueError) as error:
        # Without the cause of a malformed file, which would quote a secret.
        reason = str(error) if isinstance(error, OSError) else "its format is wrong"
        raise InvalidEventKeys(f"event keys {path} cannot be read: {reason}") from None
    if keys.source != source or any(map(_has_short_secret, keys.keys)):
        raise InvalidEventKeys(f"event keys {path} are not the keys of {source}")
    return keys


def load_all(folder: Path, reader: str) -> list[SourceKeys]:
    """Return the keys of every source that a reader signs as or consumes from.

    Raises InvalidEventKeys if one is missing: its events would all be taken for forged.
    """
    sources = (source for source in SERVICES if readable_topics(reader, source))
    return [load_source(folder, source) for source in sources]


def _has_short_secret(key: EventKey) -> bool:
    return any(len(secret) != SECRET_BYTES for secret in key.topics.values())


def _common_topics(keys: SourceKeys) -> set[str]:
    """Return the topics of the newest key."""
    return set(keys.keys[-1].topics) if keys.keys else set()


def _new_key(source: str, signs_from: datetime) -> EventKey:
    return EventKey(
        id=secrets.token_hex(KEY_ID_BYTES),
        signs_from=signs_from,
        topics=dict(_new_secrets(source)),
    )


def _new_secrets(source: str) -> Iterator[tuple[str, bytes]]:
    for topic in written_topics(source):
        yield topic, secrets.token_bytes(SECRET_BYTES)


def _retired(key: EventKey, at: datetime) -> EventKey:
    """Return the key with a retirement not later than `at`."""
    retires_at = min(key.retires_at or at, at)
    return msgspec.structs.replace(key, retires_at=retires_at)


def _save(folder: Path, keys: SourceKeys) -> None:
    text = msgspec.json.format(msgspec.json.encode(keys), indent=1).decode() + "\n"
    path = key_file(folder, keys.source)
    if not path.exists() or path.read_text(encoding="ascii") != text:
        write_private(path, text)
