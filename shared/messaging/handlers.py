"""The table of event handlers: `on = Handlers()` in every service's handlers.py."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from shared.appraisal.events import Event, Meta
from shared.foundation import tracing
from shared.messaging.envelope import IncomingEvent
from shared.storage.transaction import Transaction

E = TypeVar("E", bound=Event)
EventHandler = Callable[[Transaction, E, Meta], Awaitable[None]]
BatchHandler = Callable[[Transaction, list[tuple[E, Meta]]], Awaitable[None]]
_Dispatch = Callable[[Transaction, Sequence[IncomingEvent]], Awaitable[None]]


class Handlers:
    """Maps event types to handler functions.

    `@on(CaseOpened)` is called for each event, `@on.batch(BallotsReleased)` with all consecutive
    events at once. Event types of one topic that are consumed in batches belong in one
    `on.batch(...)`, which keeps their order.

    `linger_seconds`: pause after a small batch, so that the next batch is larger and costs less
    per event. For services whose effects are not urgent.
    """

    def __init__(self, *, linger_seconds: float = 0.0) -> None:
        self.linger_seconds = linger_seconds
        self._table: dict[str, _Dispatch] = {}

    def __call__(self, *events: type[E]) -> Callable[[EventHandler[E]], EventHandler[E]]:
        """Register a handler of single events."""

        def register(handler: EventHandler[E]) -> EventHandler[E]:
            async def dispatch(tx: Transaction, consumed: Sequence[IncomingEvent]) -> None:
                for incoming in consumed:
                    await _handle(handler, tx, incoming)

            self._register(events, dispatch)
            return handler

        return register

    def batch(self, *events: type[E]) -> Callable[[BatchHandler[E]], BatchHandler[E]]:
        """Register a handler of all consecutive events at once."""

        def register(handler: BatchHandler[E]) -> BatchHandler[E]:
            async def dispatch(tx: Transaction, consumed: Sequence[IncomingEvent]) -> None:
                pairs: list[Any] = [(incoming.event(), incoming.meta) for incoming in consumed]
                await handler(tx, pairs)

            self._register(events, dispatch)
            return handler

        return register

    def _register(self, events: Sequence[type[Event]], dispatch: _Dispatch) -> None:
        for event in events:
            assert event.name not in self._table, f"{event.name} has two handlers in one service"
            self._table[event.name] = dispatch

    @property
    def names(self) -> frozenset[str]:
        """Wire names of the consumed event types."""
        return frozenset(self._table)

    async def dispatch(self, tx: Transaction, events: Sequence[IncomingEvent]) -> None:
        """Call the handlers in order; consecutive events of one handler are passed together."""
        consumed = [incoming for incoming in events if incoming.meta.type in self._table]
        for dispatch, run in groupby(consumed, key=lambda each: self._table[each.meta.type]):
            await dispatch(tx, list(run))


async def _handle(
    handler: EventHandler[Any],
    tx: Transaction,
    incoming: IncomingEvent,
) -> None:
    with tracing.span(f"handle {incoming.meta.type}", parent=incoming.trace):
        await handler(tx, incoming.event(), incoming.meta)
