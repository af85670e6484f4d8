"""Every event by its wire name, and the JSON encoding of event bodies."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from shared.appraisal.events import (
    ballots,
    campaigns,
    cases,
    checkpoints,
    complaints,
    notifications,
    obligations,
    organisations,
    resends,
    scores,
    visits,
)
from shared.appraisal.events.base import Event

MODULES: Final = (
    complaints,
    ballots,
    visits,
    cases,
    obligations,
    organisations,
    campaigns,
    scores,
    notifications,
    resends,
    checkpoints,
)

OWNERS: Final[dict[str, str]] = {
    "complaints": "intake",
    "ballots": "intake",
    "visits": "intake",
    "cases": "casework",
    "organisations": "scoring",
    "campaigns": "scoring",
    "scores": "scoring",
    "notifications": "notify",
}
"""The service that publishes a topic; only its outbox may hold events of it."""

CONSUMED_BY_ALL: Final = ("resends",)
"""Topics that every service publishes and consumes."""
SHARED_TOPICS: Final = (*CONSUMED_BY_ALL, "checkpoints")
"""Topics that every service publishes. `fengping verify` reads the checkpoints, no service does."""

CONSUMERS: Final[dict[str, tuple[str, ...]]] = {
    "complaints": ("casework", "scoring"),
    "ballots": ("scoring",),
    "visits": ("casework", "notify", "scoring"),
    "cases": ("intake", "notify", "scoring"),
    "organisations": ("casework", "intake", "notify"),
    "campaigns": ("casework", "intake", "notify"),
    "scores": ("notify",),
    "notifications": (),
}
"""The services whose handlers consume a topic. With OWNERS this is the table of who may write and
read what in Kafka, and of who holds which secret of events.
"""


def _defined_events() -> Iterator[type[Event]]:
    for module in MODULES:
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, Event) and member.name:
                yield member


_DEFINED: Final = tuple(_defined_events())
EVENTS: Final[dict[str, type[Event]]] = {event.name: event for event in _DEFINED}
"""Every event class by its wire name."""
TOPICS: Final = tuple(sorted({event.topic for event in _DEFINED}))

assert len(EVENTS) == len(_DEFINED), "two events share a wire name"
assert OWNERS.keys() | set(SHARED_TOPICS) == set(TOPICS), "every topic has an owner"
assert CONSUMERS.keys() == OWNERS.keys(), "every topic has a list of consumers"

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(event) for name, event in EVENTS.items()}


def owned_topics(service: str) -> list[str]:
    """Return the topics that only this service publishes."""
    return sorted(topic for topic, owner in OWNERS.items() if owner == service)


def consumed_topics(service: str) -> list[str]:
    """Return the topics that this service may consume, with those that all consume."""
    own = [topic for topic, consumers in CONSUMERS.items() if service in consumers]
    return sorted([*own, *CONSUMED_BY_ALL])


def encode(event: Event) -> bytes:
    """Return the JSON body of an event."""
    return _encoder.encode(event)


def decode(name: str, body: bytes) -> Event:
    """Return the event with that wire name. Unknown fields are ignored.

    Raises KeyError for an unknown name and msgspec.DecodeError (a ValueError) for a body that does
    not match the contract.
    """
    return _decoders[name].decode(body)


def schemas(names: Sequence[str] | None = None) -> dict[str, object]:
    """Return the JSON Schema 2020-12 of event bodies by wire name, self-contained with `$defs`."""
    return {name: msgspec.json.schema(EVENTS[name]) for name in names or sorted(EVENTS)}
