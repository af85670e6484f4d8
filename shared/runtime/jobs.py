"""Work that time brings: `jobs = Jobs()` in every service's ticks.py.

Context: a due date must be noticed within a second, once, by whichever replica comes first, and
never because some machine's clock is wrong. Decision: a job is one small transaction that claims
what is due by the database's clock (`FOR UPDATE SKIP LOCKED`), does its work and says whether there
may be more; a crash gives everything back at once. The database's own clock is compared with this
machine's steady one twice a second, and by every job before it commits: a jump of more than five
minutes between two looks undoes the job and stops all due work of the service until somebody
releases it (`fengping clock release`), because a false lapse has legal consequences and a late one
has a notice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds, real_now
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

PASSES_MAX = 1_000
"""Passes of one job in a row before the others' turn and a fresh look at the clock."""
CLOCK_JUMP_SECONDS = 300.0
FAILURE_PAUSE_SECONDS = 2.0

FunctionT = TypeVar("FunctionT", bound=Callable[..., Awaitable[bool]])


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """One job: `function(tx)`, or with `transactional=False` `function(database, context)`, gives True while
    there may be more to do.
    """

    name: str
    seconds: float
    function: Callable[..., Awaitable[bool]]
    transactional: bool = True
    clock_independent: bool = False
    """Nothing that it does is due at an instant: it goes on while due work is stopped."""


class Jobs:
    """The table of what a service does as time passes."""

    def __init__(self, table: Sequence[ScheduledJob] = ()) -> None:
        self.table = list(table)

    def __call__(
        self, *, seconds: float, transactional: bool = True, clock_independent: bool = False
    ) -> Callable[[FunctionT], FunctionT]:
        """Register a function that runs every `seconds`.

        With `transactional=False` it is called as `function(database, context)` and opens its own
        transactions, none while it waits for another system.
        """

        def register(function: FunctionT) -> FunctionT:
            self.table.append(
                ScheduledJob(function.__name__, seconds, function, transactional, clock_independent)
            )
            return function

        return register


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


class ClockGuardActive(Exception):
    """Due work is stopped: what a job found due may be so by a false clock only. Nothing of it is
    written.
    """


class JobRunner:
    """Runs a service's jobs side by side until stopped."""

    def __init__(self, database: Database, jobs: Jobs, *, context: Any) -> None:
        self._database, self._jobs, self._context = database, jobs, context
        self._guard = ClockGuard()
        self._running: list[asyncio.Task[None]] = []
        self._holds_active: bool | None = None
        """None: not looked yet."""
        self._jump: float | None = None
        """A jump that was seen and is not written down yet."""

    def start(self) -> None:
        self._running = [asyncio.create_task(self._run(job)) for job in self._jobs.table]
        self._running.append(asyncio.create_task(self._watch_clock()))

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def health_problem(self) -> str | None:
        """Why due work is not being done, or None."""
        if any(task.done() for task in self._running):
            return "a job ended"
        if self._holds_active is None:
            return "the database's clock was not looked at yet"
        return (
            "database clock jumped: check it, then `fengping clock release`"
            if self.paused
            else None
        )

    @property
    def paused(self) -> bool:
        """Due work is stopped."""
        return bool(self._holds_active) or self._jump is not None

    def _is_paused(self, job: ScheduledJob) -> bool:
        return self.paused and not job.clock_independent

    async def _run(self, job: ScheduledJob) -> None:
        while True:
            pause = job.seconds
            try:
                if not self._is_paused(job):
                    await self._run_passes(job)
            except ClockGuardActive:
                log.warning(
                    "job rolled back: clock guard active",
                    service=self._database.schema,
                    job=job.name,
                )
            except Exception as error:
                telemetry.job_failures.labels(self._database.schema, job.name).inc()
                log.error(
                    "job failed",
                    service=self._database.schema,
                    job=job.name,
                    **telemetry.describe(error),
                )
                pause = max(job.seconds, FAILURE_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _run_passes(self, job: ScheduledJob) -> None:
        started = monotonic_seconds()
        for _ in range(PASSES_MAX):
            more = await self._run_once(job)
            failpoint(f"job.{job.name}.after_commit")
            if not more or self._is_paused(job):
                break
        telemetry.job_seconds.labels(self._database.schema, job.name).observe(
            monotonic_seconds() - started
        )
        telemetry.job_last_success.labels(self._database.schema, job.name).set(
            real_now().timestamp()
        )

    async def _run_once(self, job: ScheduledJob) -> bool:
        if not job.transactional:
            return await job.function(self._database, self._context)
        async with self._database.transaction(self._context) as tx:
            more = await job.function(tx)
            # Last, so that the clock is proved after everything that was found due by it.
            await self._read_clock(tx)
            if self._is_paused(job):
                raise ClockGuardActive
            failpoint(f"job.{job.name}.before_commit")
        return more

    async def _watch_clock(self) -> None:
        """Hold all due work while a jump of the database's clock is unexplained; look twice a
        second.
        """
        while True:
            try:
                await self._check_clock()
            except Exception as error:
                log.warning(
                    "clock not read", service=self._database.schema, **telemetry.describe(error)
                )
            await asyncio.sleep(0.5)

    async def _check_clock(self) -> None:
        """Read the clock; write a jump down, whoever saw it."""
        async with self._database.transaction() as tx:
            await self._read_clock(tx)
            jump = self._jump
            if jump is not None:
                await tx.run("insert into clock_holds (drift_seconds) values ($1)", jump)
                tx.audit("clock.held", self._database.schema, "system", drift_seconds=round(jump))
                log.error(
                    "database clock jumped, due work stopped",
                    service=self._database.schema,
                    seconds=round(jump),
                )
        if jump is not None:
            self._holds_active, self._jump = True, None
        telemetry.clock_guard.labels(self._database.schema).set(self.paused)

    async def _read_clock(self, tx: Transaction) -> None:
        before = monotonic_seconds()
        row = await tx.fetchrow(_CLOCK)
        assert row
        drift = self._guard.drift(row["clock"].timestamp(), before)
        if abs(drift) > CLOCK_JUMP_SECONDS:
            self._jump = drift
        self._holds_active = row["active"]


_CLOCK = "select clock_timestamp() as clock, exists (select from clock_holds where released_at is null) as active"


async def release_clock(tx: Transaction, *, by: str) -> int:
    """Let due work go on after somebody checked the database's clock; gives the number of holds
    released.
    """
    released = await tx.run(
        "update clock_holds set released_at = clock_timestamp(), released_by = $1 where released_at is null",
        by,
    )
    if released:
        tx.audit("clock.released", tx.service, by, holds=released)
    return released
