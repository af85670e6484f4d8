"""Due work is done once, by whichever replica is first, and never by a clock that jumped."""

import asyncio

import pytest

from shared.runtime import clock_guard
from shared.runtime.clock_guard import ClockDrift, release_clock
from shared.runtime.jobs import JobRunner, Jobs
from tests.shared.test_messaging import until


def test_clock_that_keeps_pace_has_no_drift():
    drift = ClockDrift()
    drifts = [drift.measure(1_000 + seconds, 50 + seconds) for seconds in (0, 0.5, 1.0, 60)]

    assert drifts == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("jump", [7_200.0, -7_200.0, 40 * 86_400.0])
def test_jump_is_measured_once(jump):
    drift = ClockDrift()
    drift.measure(1_000, 50)

    assert drift.measure(1_000.5 + jump, 50.5) == pytest.approx(jump)
    assert drift.measure(1_001.0 + jump, 51.0) == pytest.approx(0)


async def _database_with_work(core, rows):
    _, open_schema = core
    database = await open_schema("casework")
    async with database.transaction() as tx:
        await tx.run("create table work (n int primary key, done_by text)")
        await tx.run("insert into work select n, null from generate_series(1, $1) n", rows)
    return database


def _claiming(name, batch=7):
    jobs = Jobs()

    @jobs(seconds=0.05)
    async def claim(tx):
        done = await tx.run(
            "update work set done_by = coalesce(done_by || '+', '') || $1 where n in "
            "(select n from work where done_by is null order by n limit $2 for update skip locked)",
            name,
            batch,
        )
        return done == batch

    return jobs


async def _undone(database):
    async with database.transaction() as tx:
        return await tx.fetchval("select count(*) from work where done_by is null")


@pytest.mark.stack
async def test_two_workers_share_due_work_and_do_each_item_once(core):
    database = await _database_with_work(core, 200)
    workers = [JobRunner(database, _claiming(name), context=None) for name in ("anna", "bruno")]
    for worker in workers:
        worker.start()
    await until(lambda: _is_zero(database))
    await asyncio.gather(*(worker.stop() for worker in workers))

    async with database.transaction() as tx:
        doers = await tx.fetch("select distinct done_by from work")
    assert {row["done_by"] for row in doers} <= {"anna", "bruno"}


async def _is_zero(database):
    return await _undone(database) == 0


@pytest.mark.stack
async def test_failing_job_is_retried_and_blocks_no_other_job(core):
    database = await _database_with_work(core, 10)
    jobs = _claiming("anna")
    failures = []

    @jobs(seconds=0.05)
    async def broken(tx):
        failures.append(tx.now)
        raise RuntimeError("a bug in a job")

    runner = JobRunner(database, jobs, context=None)
    runner.start()
    await until(lambda: _is_zero(database))
    await until(lambda: len(failures) >= 2)

    assert runner.health_problem() is None
    await runner.stop()


@pytest.mark.stack
async def test_clock_jump_pauses_due_work_until_it_is_released(core, monkeypatch):
    database = await _database_with_work(core, 0)
    real, shift = clock_guard.monotonic_seconds, [0.0]
    monkeypatch.setattr(clock_guard, "monotonic_seconds", lambda: real() - shift[0])
    runner = JobRunner(database, _claiming("anna"), context=None)
    runner.start()
    await asyncio.sleep(1)

    shift[0] = 7_200.0  # the database's clock now seems two hours ahead
    await until(lambda: runner.health_problem() is not None)
    async with database.transaction() as tx:
        await tx.run("insert into work values (1, null)")
    await asyncio.sleep(1)
    assert await _undone(database) == 1

    async with database.transaction() as tx:
        assert await release_clock(tx, by="zhang") == 1
    await until(lambda: _is_zero(database))
    async with database.transaction() as tx:
        assert await tx.fetch("select action, actor from audit order by id") == [
            ("clock.held", "system"),
            ("clock.released", "zhang"),
        ]
    await runner.stop()


@pytest.mark.stack
async def test_job_that_runs_before_the_guard_checks_does_not_act_on_a_jumped_clock(
    core, monkeypatch
):
    """The guard's own check is far away: the job must notice the jump and roll back."""
    database = await _database_with_work(core, 0)
    real, shift = clock_guard.monotonic_seconds, [0.0]
    monkeypatch.setattr(clock_guard, "monotonic_seconds", lambda: real() - shift[0])
    runner = JobRunner(database, _claiming("anna"), context=None)
    monkeypatch.setattr(runner.clock_guard, "watch", asyncio.Event().wait)
    runner.start()
    await asyncio.sleep(0.5)

    shift[0] = 7_200.0
    async with database.transaction() as tx:
        await tx.run("insert into work values (1, null)")
    await asyncio.sleep(1)

    assert await _undone(database) == 1
    assert runner.health_problem() is not None
    await runner.stop()


@pytest.mark.stack
async def test_clock_independent_job_runs_while_due_work_is_paused(core):
    database = await _database_with_work(core, 20)
    async with database.transaction() as tx:
        await tx.run("insert into clock_holds (drift_seconds) values (7200)")
    jobs = Jobs()

    @jobs(seconds=0.05)
    async def due(tx):
        return await tx.run("update work set done_by = 'due' where n <= 10") < 0

    @jobs(seconds=0.05, clock_independent=True)
    async def seal(tx):
        return (
            await tx.run(
                "update work set done_by = 'seal' where n in (select n from work where n > 10 and done_by is null limit 3)"
            )
            == 3
        )

    runner = JobRunner(database, jobs, context=None)
    runner.start()
    await until(lambda: _is_half_done(database))
    await asyncio.sleep(0.3)

    async with database.transaction() as tx:
        assert {
            row["done_by"] for row in await tx.fetch("select done_by from work where n > 10")
        } == {"seal"}
        assert {
            row["done_by"] for row in await tx.fetch("select done_by from work where n <= 10")
        } == {None}
    await runner.stop()


async def _is_half_done(database):
    return await _undone(database) == 10


@pytest.mark.stack
async def test_worker_that_starts_while_due_work_is_paused_does_none(core, monkeypatch):
    database = await _database_with_work(core, 1)
    async with database.transaction() as tx:
        await tx.run("insert into clock_holds (drift_seconds) values (7200)")

    runner = JobRunner(database, _claiming("anna"), context=None)
    monkeypatch.setattr(runner.clock_guard, "watch", asyncio.Event().wait)
    assert runner.health_problem() is not None, "ready only after the clock was read"
    runner.start()
    await asyncio.sleep(1)

    assert await _undone(database) == 1
    assert runner.health_problem() is not None
    await runner.stop()
