"""The version check: events of an aggregate take effect in the order of their versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.messaging.envelope import Aggregate, IncomingEvent
from shared.messaging.store import buffered_events
from shared.messaging.store.inbox import VersionCheck
from shared.storage.transaction import Transaction

UNLIMITED = 1 << 62
"""Release every buffered successor."""


@dataclass(frozen=True, slots=True)
class CheckedEvents:
    """Result of a version check."""

    ready: list[IncomingEvent]
    """Events that may take effect now, predecessors first, including released successors."""
    buffered: int
    """Number of events that arrived too early."""
    advanced: Mapping[Aggregate, int]
    """New version of each aggregate that advanced."""


@dataclass(slots=True)
class _VersionOrder:
    """Puts events into the order of their versions; pure, without the database."""

    versions: dict[Aggregate, int]
    pending: dict[Aggregate, dict[int, IncomingEvent]]
    """Buffered events, and early events of this batch, by version."""
    successors_max: int
    ready: list[IncomingEvent] = field(default_factory=list)
    early: list[IncomingEvent] = field(default_factory=list)
    released: list[IncomingEvent] = field(default_factory=list)

    def add(self, incoming: IncomingEvent) -> None:
        """Take the next event, and release the successors that waited for it."""
        if incoming.single_event:
            self.ready.append(incoming)
            return
        aggregate = incoming.aggregate
        version = incoming.meta.version
        expected = self.versions[aggregate] + 1
        if version > expected:
            self.early.append(incoming)
            self.pending.setdefault(aggregate, {}).setdefault(version, incoming)
        elif version == expected:
            self._advance(aggregate, incoming)
        self._release_successors(aggregate)

    @property
    def buffered(self) -> list[IncomingEvent]:
        """The early events that were not released."""
        released_ids = {incoming.meta.event_id for incoming in self.released}
        return [event for event in self.early if event.meta.event_id not in released_ids]

    def advanced(self, before: Mapping[Aggregate, int]) -> dict[Aggregate, int]:
        """Return the new version of each aggregate that is not what it was `before`."""
        return {
            aggregate: version
            for aggregate, version in self.versions.items()
            if version != before[aggregate]
        }

    def _advance(self, aggregate: Aggregate, incoming: IncomingEvent) -> None:
        self.ready.append(incoming)
        self.versions[aggregate] += 1

    def _release_successors(self, aggregate: Aggregate) -> None:
        pending = self.pending.get(aggregate, {})
        while len(self.released) < self.successors_max:
            successor = pending.pop(self.versions[aggregate] + 1, None)
            if successor is None:
                return
            self._advance(aggregate, successor)
            self.released.append(successor)


async def check_versions(
    tx: Transaction,
    fresh: Sequence[IncomingEvent],
    version_check: VersionCheck,
    *,
    successors: int = UNLIMITED,
) -> CheckedEvents:
    """Select the events that may take effect now.

    A version that was already applied is dropped. An event that arrives before its predecessor is
    buffered and released together with it; at most `successors` events are released.
    """
    before = version_check.versions
    if not before:
        return CheckedEvents(list(fresh), 0, {})
    pending = await buffered_events.select(tx, version_check.with_buffered)
    order = _VersionOrder(dict(before), pending, successors)
    for incoming in fresh:
        order.add(incoming)
    buffered = order.buffered
    await buffered_events.insert(tx, buffered)
    await buffered_events.delete(tx, order.released)
    return CheckedEvents(order.ready, len(buffered), order.advanced(before))
