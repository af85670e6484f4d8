"""The table of who hears what: `on = Handlers()` in every service's handlers.py."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from shared.appraisal.events import Event, Meta
from shared.storage.transaction import Transaction

E = TypeVar("E", bound=Event)
Heard = tuple[Event, Meta]
One = Callable[[Transaction, E, Meta], Awaitable[None]]
Many = Callable[[Transaction, list[tuple[E, Meta]]], Awaitable[None]]


class Handlers:
    """Which function hears which fact.

    `@on(CaseOpened)` is called for each event, `@on.batch(BallotSubmitted)` with all of a run at
    once. The facts of one topic that a service hears in batches belong in one `on.batch(...)`: that
    keeps their order.

    `rest_seconds`: after a few events no more are fetched for so long. Then more come at once and
    cost less together; the first is heard as soon as ever. For a service whose effects nobody waits
    for.
    """

    def __init__(self, *, rest_seconds: float = 0.0) -> None:
        self.rest_seconds = rest_seconds
        self._table: dict[str, Many[Any]] = {}

    def __call__(self, *events: type[E]) -> Callable[[One[E]], One[E]]:
        def enter(function: One[E]) -> One[E]:
            async def each(tx: Transaction, heard: list[tuple[E, Meta]]) -> None:
                for event, meta in heard:
                    await function(tx, event, meta)

            self._enter(events, each)
            return function

        return enter

    def batch(self, *events: type[E]) -> Callable[[Many[E]], Many[E]]:
        def enter(function: Many[E]) -> Many[E]:
            self._enter(events, function)
            return function

        return enter

    def _enter(self, events: Sequence[type[Event]], function: Many[Any]) -> None:
        for event in events:
            assert event.name not in self._table, f"{event.name} has two handlers in one service"
            self._table[event.name] = function

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._table)

    async def dispatch(self, tx: Transaction, heard: Sequence[Heard]) -> None:
        """Call the handlers in the order of arrival; neighbours with the same handler go in
        together.
        """
        for function, run in groupby(heard, key=lambda pair: self._table[pair[1].type]):
            await function(tx, list(run))
