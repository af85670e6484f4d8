"""The clock guard: no due work is done while the database's clock cannot be trusted.

A false lapse has legal consequences, a late one has a notice. The database's clock is compared with
this machine's monotonic clock twice a second, and by every job before it commits. A jump of more
than CLOCK_JUMP_SECONDS between two comparisons rolls the job back and pauses all due work of the
service until an operator releases it (`fengping clock release`).
"""

import asyncio
from datetime import datetime

import msgspec

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.telemetry import log, log_failure
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

CLOCK_JUMP_SECONDS = 300.0
CHECK_INTERVAL_SECONDS = 0.5

_READ_CLOCK = """
select clock_timestamp() as clock,
  exists (select from clock_holds where released_at is null) as holds_active
"""
_INSERT_HOLD = "insert into clock_holds (drift_seconds) values ($1)"
_RELEASE_HOLDS = """
update clock_holds set released_at = clock_timestamp(), released_by = $1 where released_at is null
"""


class ClockGuardActive(Exception):
    """Raised to roll back a job: what it found due may be due by a false clock only."""


class ClockDrift:
    """Compares the database's clock with a monotonic clock."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def measure(self, database_seconds: float, monotonic: float) -> float:
        """Return by how many seconds the database's clock deviated since the last call."""
        last = self._last
        self._last = (database_seconds, monotonic)
        if last is None:
            return 0.0
        last_database_seconds, last_monotonic = last
        return (database_seconds - last_database_seconds) - (monotonic - last_monotonic)


class _ClockReading(msgspec.Struct, frozen=True):
    clock: datetime
    holds_active: bool


class ClockGuard:
    """Pauses the due work of one service while a jump of the clock is unexplained."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._drift = ClockDrift()
        self._holds_active: bool | None = None
        """None: the clock was not read yet."""
        self._jump_seconds: float | None = None
        """A jump that was noticed and is not stored yet."""

    @property
    def paused(self) -> bool:
        """Whether due work must wait."""
        return bool(self._holds_active) or self._jump_seconds is not None

    def health_problem(self) -> str | None:
        """Return why due work is paused, or None."""
        if self._holds_active is None:
            return "the database's clock was not read yet"
        if self.paused:
            return "database clock jumped: check it, then `fengping clock release`"
        return None

    async def read(self, tx: Transaction) -> None:
        """Read the clock and notice a jump."""
        before = monotonic_seconds()
        row = await tx.fetchrow(_READ_CLOCK)
        assert row
        reading = _ClockReading(**row)
        drift = self._drift.measure(reading.clock.timestamp(), before)
        if abs(drift) > CLOCK_JUMP_SECONDS:
            self._jump_seconds = drift
        self._holds_active = reading.holds_active

    async def watch(self) -> None:
        """Check the clock twice a second until cancelled."""
        while True:
            try:
                await self._check()
            except Exception as error:
                service = self._database.schema
                log_failure("clock not read", error, expected=True, service=service)
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    async def _check(self) -> None:
        """Read the clock, and store a jump that this check or a job noticed."""
        async with self._database.transaction() as tx:
            await self.read(tx)
            jump_seconds = self._jump_seconds
            if jump_seconds is not None:
                await self._hold(tx, jump_seconds)
        if jump_seconds is not None:
            self._holds_active = True
            self._jump_seconds = None
        telemetry.clock_guard.labels(self._database.schema).set(self.paused)

    async def _hold(self, tx: Transaction, jump_seconds: float) -> None:
        service = self._database.schema
        await tx.run(_INSERT_HOLD, jump_seconds)
        tx.audit("clock.held", service, "system", drift_seconds=round(jump_seconds))
        log.error(
            "database clock jumped, due work paused",
            service=service,
            seconds=round(jump_seconds),
        )


async def release_clock(tx: Transaction, *, by: str) -> int:
    """Resume due work after an operator checked the clock; return the number of holds released."""
    released = await tx.run(_RELEASE_HOLDS, by)
    if released:
        tx.audit("clock.released", tx.service, by, holds=released)
    return released
