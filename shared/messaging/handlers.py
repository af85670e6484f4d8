"""The table of who hears what: `on = Handlers()` in every service's handlers.py."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from shared.appraisal.events import Event, Meta
from shared.storage.transaction import Transaction

E = TypeVar("E", bound=Event)
ConsumedEvent = tuple[Event, Meta]
EventHandler = Callable[[Transaction, E, Meta], Awaitable[None]]
BatchHandler = Callable[[Transaction, list[tuple[E, Meta]]], Awaitable[None]]


class Handlers:
    """Which function consumes which event.

    `@on(CaseOpened)` is called for each event, `@on.batch(BallotSubmitted)` with all of a run at
    once. The facts of one topic that a service hears in batches belong in one `on.batch(...)`: that
    keeps their order.

    `linger_seconds`: after a few events no more are fetched for so long. Then more come at once and
    cost less together; the first is heard as soon as ever. For a service whose effects nobody waits
    for.
    """

    def __init__(self, *, linger_seconds: float = 0.0) -> None:
        self.linger_seconds = linger_seconds
        self._table: dict[str, BatchHandler[Any]] = {}

    def __call__(self, *events: type[E]) -> Callable[[EventHandler[E]], EventHandler[E]]:
        def register(function: EventHandler[E]) -> EventHandler[E]:
            async def each(tx: Transaction, consumed: list[tuple[E, Meta]]) -> None:
                for event, meta in consumed:
                    await function(tx, event, meta)

            self._register(events, each)
            return function

        return register

    def batch(self, *events: type[E]) -> Callable[[BatchHandler[E]], BatchHandler[E]]:
        def register(function: BatchHandler[E]) -> BatchHandler[E]:
            self._register(events, function)
            return function

        return register

    def _register(self, events: Sequence[type[Event]], function: BatchHandler[Any]) -> None:
        for event in events:
            assert event.name not in self._table, f"{event.name} has two handlers in one service"
            self._table[event.name] = function

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._table)

    async def dispatch(self, tx: Transaction, consumed: Sequence[ConsumedEvent]) -> None:
        """Call the handlers in the order of arrival; neighbours with the same handler go in
        together.
        """
        for function, run in groupby(consumed, key=lambda pair: self._table[pair[1].type]):
            await function(tx, list(run))
