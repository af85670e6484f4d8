"""Due work is done once, by whoever comes first, and not at all while the database's clock cannot
be trusted.
"""

import asyncio

import pytest

from shared.runtime.jobs import ClockGuard, TickRunner, Ticks, release_clock
from tests.shared.test_bus import until


def test_a_clock_that_runs_with_the_steady_one_has_no_drift():
    guard = ClockGuard()
    looks = [guard.drift(1_000 + seconds, 50 + seconds) for seconds in (0, 0.5, 1.0, 60)]

    assert looks == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("jump", [7_200.0, -7_200.0, 40 * 86_400.0])
def test_a_jump_shows_once_with_its_size(jump):
    guard = ClockGuard()
    guard.drift(1_000, 50)

    assert guard.drift(1_000.5 + jump, 50.5) == pytest.approx(jump)
    assert guard.drift(1_001.0 + jump, 51.0) == pytest.approx(0)


async def _database_with_work(core, rows):
    _, open_schema = core
    database = await open_schema("casework")
    async with database.transaction() as tx:
        await tx.run("create table work (n int primary key, done_by text)")
        await tx.run("insert into work select n, null from generate_series(1, $1) n", rows)
    return database


def _claiming(name, batch=7):
    every = Ticks()

    @every(seconds=0.05)
    async def claim(tx):
        done = await tx.run(
            "update work set done_by = coalesce(done_by || '+', '') || $1 where n in "
            "(select n from work where done_by is null order by n limit $2 for update skip locked)",
            name,
            batch,
        )
        return done == batch

    return every


async def _undone(database):
    async with database.transaction() as tx:
        return await tx.fetchval("select count(*) from work where done_by is null")


@pytest.mark.stack
async def test_two_workers_share_the_work_and_do_each_piece_once(core):
    database = await _database_with_work(core, 200)
    workers = [TickRunner(database, _claiming(name), context=None) for name in ("anna", "bruno")]
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
async def test_a_tick_that_fails_is_tried_again_and_stops_nobody_else(core):
    database = await _database_with_work(core, 10)
    every = _claiming("anna")
    failures = []

    @every(seconds=0.05)
    async def broken(tx):
        failures.append(tx.now)
        raise RuntimeError("a bug in a tick")

    runner = TickRunner(database, every, context=None)
    runner.start()
    await until(lambda: _is_zero(database))
    await until(lambda: len(failures) >= 2)

    assert runner.trouble() is None
    await runner.stop()


@pytest.mark.stack
async def test_a_jump_of_the_clock_stops_due_work_until_somebody_releases_it(core, monkeypatch):
    from shared.runtime import jobs as ticks

    database = await _database_with_work(core, 0)
    real, shift = ticks.steady_seconds, [0.0]
    monkeypatch.setattr(ticks, "steady_seconds", lambda: real() - shift[0])
    runner = TickRunner(database, _claiming("anna"), context=None)
    runner.start()
    await asyncio.sleep(1)

    shift[0] = 7_200.0  # as seen from here, the database's clock is two hours ahead at once
    await until(lambda: runner.trouble() is not None)
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
async def test_not_even_the_tick_that_runs_before_the_guard_looks_acts_on_a_jumped_clock(
    core, monkeypatch
):
    """The jump comes while a tick is at work, and the guard's own look is far away: the tick's
    transaction leaves nothing.
    """
    from shared.runtime import jobs as ticks

    database = await _database_with_work(core, 0)
    real, shift = ticks.steady_seconds, [0.0]
    monkeypatch.setattr(ticks, "steady_seconds", lambda: real() - shift[0])
    runner = TickRunner(database, _claiming("anna"), context=None)
    monkeypatch.setattr(runner, "_watch_clock", asyncio.Event().wait)
    runner.start()
    await asyncio.sleep(0.5)

    shift[0] = 7_200.0
    async with database.transaction() as tx:
        await tx.run("insert into work values (1, null)")
    await asyncio.sleep(1)

    assert await _undone(database) == 1
    assert runner.trouble() is not None
    await runner.stop()


@pytest.mark.stack
async def test_what_is_not_due_at_any_instant_goes_on_while_due_work_is_held(core):
    database = await _database_with_work(core, 20)
    async with database.transaction() as tx:
        await tx.run("insert into clock_holds (drift_seconds) values (7200)")
    every = Ticks()

    @every(seconds=0.05)
    async def due(tx):
        return await tx.run("update work set done_by = 'due' where n <= 10") < 0

    @every(seconds=0.05, timeless=True)
    async def seal(tx):
        return (
            await tx.run(
                "update work set done_by = 'seal' where n in (select n from work where n > 10 and done_by is null limit 3)"
            )
            == 3
        )

    runner = TickRunner(database, every, context=None)
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
async def test_a_worker_that_starts_while_due_work_is_held_does_none(core, monkeypatch):
    database = await _database_with_work(core, 1)
    async with database.transaction() as tx:
        await tx.run("insert into clock_holds (drift_seconds) values (7200)")

    runner = TickRunner(database, _claiming("anna"), context=None)
    monkeypatch.setattr(runner, "_watch_clock", asyncio.Event().wait)
    assert runner.trouble() is not None, "nobody says that it is ready before it has looked"
    runner.start()
    await asyncio.sleep(1)

    assert await _undone(database) == 1
    assert runner.trouble() is not None
    await runner.stop()
