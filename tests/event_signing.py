"""Records as their owner signs them, for tests that write to Kafka themselves."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from shared.appraisal.events import OWNERS
from shared.foundation.settings import Settings
from shared.messaging.event_mac import EventSigner, EventVerifier, Header


@lru_cache
def signer_in(folder: Path, service: str) -> EventSigner:
    return EventSigner(folder, service)


def signed(
    settings: Settings, topic: str, key: str, headers: Sequence[Header], body: bytes | None
) -> list[Header]:
    """Return `headers` with the MAC of the topic's owner."""
    signer = signer_in(settings.keys_of(OWNERS[topic]), OWNERS[topic])
    signer.refresh()
    return signer.sign(settings.topic_prefix + topic, key.encode(), headers, body or b"")


def verifier_of(settings: Settings, service: str) -> EventVerifier:
    return EventVerifier(settings.keys_of(service), service)
