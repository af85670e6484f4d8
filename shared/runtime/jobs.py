"""Work that time brings: `every = Ticks()` in every service's ticks.py.

Context: a due date must be noticed within a second, once, by whichever replica comes first, and
never because some machine's clock is wrong. Decision: a tick is one small transaction that claims
what is due by the database's clock (`FOR UPDATE SKIP LOCKED`), does its work and says whether there
may be more; a crash gives everything back at once. The database's own clock is compared with this
machine's steady one twice a second, and by every tick before it commits: a jump of more than five
minutes between two looks undoes the tick and stops all due work of the service until somebody
releases it (`fengping clock release`), because a false lapse has legal consequences and a late one
has a notice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.foundation import telemetry
from shared.foundation.clock import real_now, steady_seconds
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

PASSES_MAX = 1_000
"""Passes of one tick in a row before the others' turn and a fresh look at the clock."""
CLOCK_JUMP_SECONDS = 300.0
FAILURE_PAUSE_SECONDS = 2.0

TickFunction = Callable[[Transaction], Awaitable[bool]]
OutsideFunction = Callable[[Database, Any], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: `function(tx)`, or with `outside` `function(database, context)`, gives True while
    there may be more to do.
    """

    name: str
    seconds: float
    function: Callable[..., Awaitable[bool]]
    outside: bool = False
    timeless: bool = False
    """Nothing that it does is due at an instant: it goes on while due work is stopped."""


class Ticks:
    """The table of what a service does as time passes."""

    def __init__(self, table: Sequence[Tick] = ()) -> None:
        self.table = list(table)

    def __call__(
        self, *, seconds: float, timeless: bool = False
    ) -> Callable[[TickFunction], TickFunction]:
        def enter(function: TickFunction) -> TickFunction:
            self.table.append(Tick(function.__name__, seconds, function, timeless=timeless))
            return function

        return enter

    def outside(self, *, seconds: float) -> Callable[[OutsideFunction], OutsideFunction]:
        """For work that waits for the world outside: `function(database, context)` opens its own
        transactions, none while it waits.
        """

        def enter(function: OutsideFunction) -> OutsideFunction:
            self.table.append(Tick(function.__name__, seconds, function, outside=True))
            return function

        return enter


class ClockGuard:
    """Notices that the database's clock jumped, by comparing it with this machine's steady clock."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def drift(self, database_seconds: float, steady: float) -> float:
        """Seconds by which the database's clock moved more (or less) than time passed since the
        last look.
        """
        last, self._last = self._last, (database_seconds, steady)
        return (database_seconds - last[0]) - (steady - last[1]) if last else 0.0


class ClockHeld(Exception):
    """Due work is stopped: what a tick found due may be so by a false clock only. Nothing of it is
    written.
    """


class TickRunner:
    """Runs a service's ticks side by side until stopped."""

    def __init__(self, database: Database, ticks: Ticks, *, context: Any) -> None:
        self._database, self._ticks, self._context = database, ticks, context
        self._guard = ClockGuard()
        self._running: list[asyncio.Task[None]] = []
        self._held: bool | None = None
        """None: not looked yet."""
        self._jump: float | None = None
        """A jump that was seen and is not written down yet."""

    def start(self) -> None:
        self._running = [asyncio.create_task(self._run(tick)) for tick in self._ticks.table]
        self._running.append(asyncio.create_task(self._watch_clock()))

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def trouble(self) -> str | None:
        """Why due work is not being done, or None."""
        if any(task.done() for task in self._running):
            return "a tick ended"
        if self._held is None:
            return "the database's clock was not looked at yet"
        return (
            "database clock jumped: check it, then `fengping clock release`" if self.held else None
        )

    @property
    def held(self) -> bool:
        """Due work is stopped."""
        return bool(self._held) or self._jump is not None

    def _stops(self, tick: Tick) -> bool:
        return self.held and not tick.timeless

    async def _run(self, tick: Tick) -> None:
        while True:
            pause = tick.seconds
            try:
                if not self._stops(tick):
                    await self._pass(tick)
            except ClockHeld:
                log.warning(
                    "tick undone, clock held", service=self._database.schema, tick=tick.name
                )
            except Exception as error:
                telemetry.tick_failures.labels(self._database.schema, tick.name).inc()
                log.error(
                    "tick failed",
                    service=self._database.schema,
                    tick=tick.name,
                    **telemetry.describe(error),
                )
                pause = max(tick.seconds, FAILURE_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _pass(self, tick: Tick) -> None:
        started = steady_seconds()
        for _ in range(PASSES_MAX):
            more = await self._once(tick)
            failpoint(f"tick.{tick.name}.after_commit")
            if not more or self._stops(tick):
                break
        telemetry.tick_seconds.labels(self._database.schema, tick.name).observe(
            steady_seconds() - started
        )
        telemetry.tick_success.labels(self._database.schema, tick.name).set(real_now().timestamp())

    async def _once(self, tick: Tick) -> bool:
        if tick.outside:
            return await tick.function(self._database, self._context)
        async with self._database.transaction(self._context) as tx:
            more = await tick.function(tx)
            # Last, so that the clock is proved after everything that was found due by it.
            await self._read_clock(tx)
            if self._stops(tick):
                raise ClockHeld
            failpoint(f"tick.{tick.name}.before_commit")
        return more

    async def _watch_clock(self) -> None:
        """Hold all due work while a jump of the database's clock is unexplained; look twice a
        second.
        """
        while True:
            try:
                await self._look()
            except Exception as error:
                log.warning(
                    "clock not read", service=self._database.schema, **telemetry.describe(error)
                )
            await asyncio.sleep(0.5)

    async def _look(self) -> None:
        """Read the clock; write a jump down, whoever saw it."""
        async with self._database.transaction() as tx:
            await self._read_clock(tx)
            jump = self._jump
            if jump is not None:
                await tx.run("insert into clock_holds (drift_seconds) values ($1)", jump)
                tx.record("clock.held", self._database.schema, "system", drift_seconds=round(jump))
                log.error(
                    "database clock jumped, due work stopped",
                    service=self._database.schema,
                    seconds=round(jump),
                )
        if jump is not None:
            self._held, self._jump = True, None
        telemetry.clock_guard.labels(self._database.schema).set(self.held)

    async def _read_clock(self, tx: Transaction) -> None:
        before = steady_seconds()
        row = await tx.fetchrow(_CLOCK)
        assert row
        drift = self._guard.drift(row["clock"].timestamp(), before)
        if abs(drift) > CLOCK_JUMP_SECONDS:
            self._jump = drift
        self._held = row["held"]


_CLOCK = "select clock_timestamp() as clock, exists (select from clock_holds where released_at is null) as held"


async def release_clock(tx: Transaction, *, by: str) -> int:
    """Let due work go on after somebody checked the database's clock; gives the number of holds
    released.
    """
    released = await tx.run(
        "update clock_holds set released_at = clock_timestamp(), released_by = $1 where released_at is null",
        by,
    )
    if released:
        tx.record("clock.released", tx.service, by, holds=released)
    return released
