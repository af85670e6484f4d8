"""Scheduled jobs: `jobs = Jobs()` in every service's jobs.py.

Context: a due date must be noticed within a second, once, by whichever replica is first, and never
because some machine's clock is wrong.
Decision: a job is one small transaction that claims what is due by the database's clock (`FOR
UPDATE SKIP LOCKED`), does its work and returns whether there may be more. A crash releases the
claim at once. The clock guard rolls a job back when the database's clock jumped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds, real_now
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log, log_failure
from shared.runtime.clock_guard import ClockGuard, ClockGuardActive
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable

PASSES_MAX = 1_000
"""Passes of one job in a row, before it sleeps."""
FAILURE_PAUSE_SECONDS = 2.0

FunctionT = TypeVar("FunctionT", bound=Callable[..., Awaitable[bool]])


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """One job. `function(tx)`, or `function(database, context)` if not transactional, returns True
    while there may be more to do.
    """

    name: str
    seconds: float
    function: Callable[..., Awaitable[bool]]
    transactional: bool = True
    clock_independent: bool = False
    """Nothing that it does is due at an instant: it runs while due work is paused."""


class Jobs:
    """The table of a service's scheduled jobs."""

    def __init__(self, table: Sequence[ScheduledJob] = ()) -> None:
        self.table = list(table)

    def __call__(
        self,
        *,
        seconds: float,
        transactional: bool = True,
        clock_independent: bool = False,
    ) -> Callable[[FunctionT], FunctionT]:
        """Register a function that runs every `seconds`.

        With `transactional=False` it is called as `function(database, context)` and opens its own
        transactions, none while it waits for another system.
        """

        def register(function: FunctionT) -> FunctionT:
            job = ScheduledJob(
                function.__name__,
                seconds,
                function,
                transactional,
                clock_independent,
            )
            self.table.append(job)
            return function

        return register


class JobRunner:
    """Runs a service's jobs side by side until stopped."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        *,
        context: Any,
    ) -> None:
        self.clock_guard = ClockGuard(database)
        self._database = database
        self._service = database.schema
        self._jobs = jobs
        self._context = context
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all jobs and the clock guard."""
        self._tasks = [asyncio.create_task(self._run(job)) for job in self._jobs.table]
        self._tasks.append(asyncio.create_task(self.clock_guard.watch()))

    async def stop(self) -> None:
        """Cancel the jobs and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def health_problem(self) -> str | None:
        """Return why due work is not done, or None."""
        if any(task.done() for task in self._tasks):
            return "a job ended"
        return self.clock_guard.health_problem()

    def _is_paused(self, job: ScheduledJob) -> bool:
        return self.clock_guard.paused and not job.clock_independent

    async def _run(self, job: ScheduledJob) -> None:
        while True:
            pause_seconds = job.seconds
            try:
                if not self._is_paused(job):
                    await self._run_passes(job)
            except ClockGuardActive:
                self._report_rollback(job)
            except Exception as error:
                self._report_failure(job, error)
                pause_seconds = max(job.seconds, FAILURE_PAUSE_SECONDS)
            await asyncio.sleep(pause_seconds)

    def _report_rollback(self, job: ScheduledJob) -> None:
        log.warning("job rolled back: clock guard active", service=self._service, job=job.name)

    def _report_failure(self, job: ScheduledJob, error: Exception) -> None:
        telemetry.job_failures.labels(self._service, job.name).inc()
        log_failure(
            "job failed",
            error,
            expected=is_unavailable(error),
            service=self._service,
            job=job.name,
        )

    async def _run_passes(self, job: ScheduledJob) -> None:
        started = monotonic_seconds()
        for _ in range(PASSES_MAX):
            more = await self._run_once(job)
            failpoint(f"job.{job.name}.after_commit")
            if not more or self._is_paused(job):
                break
        self._record_success(job, monotonic_seconds() - started)

    def _record_success(self, job: ScheduledJob, seconds: float) -> None:
        labels = (self._service, job.name)
        telemetry.job_seconds.labels(*labels).observe(seconds)
        telemetry.job_last_success.labels(*labels).set(real_now().timestamp())

    async def _run_once(self, job: ScheduledJob) -> bool:
        if not job.transactional:
            return await job.function(self._database, self._context)
        async with self._database.transaction(self._context) as tx:
            more = await job.function(tx)
            # Last, so that the clock is checked after everything that was found due by it.
            await self.clock_guard.read(tx)
            if self._is_paused(job):
                raise ClockGuardActive
            failpoint(f"job.{job.name}.before_commit")
        return more
