"""A transaction writes rows, events and audit entries together, or nothing."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from shared.appraisal.events import BallotsReleased, ComplaintRated, ReleasedBallot

pytestmark = pytest.mark.stack

NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


def rated(complaint_id, option=1):
    return ComplaintRated(
        occurred_at=NOON, complaint_id=complaint_id, campaign_id="j-2026", option=option
    )


def ballot():
    return BallotsReleased(
        occurred_at=NOON,
        release_id=uuid4(),
        campaign_id="j-2026",
        instrument="hall",
        group="people",
        ballots=(ReleasedBallot(ballot_id=uuid4(), answers=((1, 1, 1),)),),
    )


async def test_leaving_the_block_writes_event_and_audit_entry(core):
    _, open_schema = core
    database = await open_schema("intake")
    complaint = uuid4()

    async with database.transaction() as tx:
        tx.publish(rated(complaint))
        tx.audit("complaint.rated", complaint, "public", option=1)

    async with database.transaction() as tx:
        row = await tx.fetchrow("select * from outbox")
        entry = await tx.fetchrow("select * from audit")
    assert (row["key"], row["version"], row["type"], row["published_at"]) == (
        str(complaint),
        1,
        "complaint.rated.v1",
        None,
    )
    assert (entry["actor"], entry["subject"]) == ("public", str(complaint))


async def test_exception_writes_nothing(core):
    _, open_schema = core
    database = await open_schema("intake")

    async def fail():
        async with database.transaction() as tx:
            tx.publish(rated(uuid4()))
            tx.audit("complaint.rated", "x", "public")
            await tx.run("insert into inbox (event_id) values ($1)", uuid4())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    async with database.transaction() as tx:
        assert (
            await tx.fetchval(
                "select (select count(*) from outbox) + (select count(*) from audit) "
                "+ (select count(*) from inbox)"
            )
            == 0
        )


async def test_versions_of_one_aggregate_count_up_within_and_across_transactions(core):
    _, open_schema = core
    database = await open_schema("intake")
    anna, bruno = uuid4(), uuid4()

    for _ in range(2):
        async with database.transaction() as tx:
            for complaint in (anna, bruno, anna):
                tx.publish(rated(complaint))

    async with database.transaction() as tx:
        rows = await tx.fetch("select key, version from outbox order by id")
    assert [row["version"] for row in rows if row["key"] == str(anna)] == [1, 2, 3, 4]
    assert [row["version"] for row in rows if row["key"] == str(bruno)] == [1, 2]


async def test_single_event_needs_no_aggregate_row(core):
    _, open_schema = core
    database = await open_schema("intake")

    async with database.transaction() as tx:
        for _ in range(3):
            tx.publish(ballot())

    async with database.transaction() as tx:
        assert await tx.fetchval("select count(*) from aggregates") == 0
        assert await tx.fetchval("select count(*) from outbox where version = 1") == 3


async def test_twelve_writers_draw_ids_in_the_order_of_versions(core):
    """An id drawn before the aggregate was locked was measured to invert events."""
    _, open_schema = core
    database = await open_schema("intake")
    complaints = [uuid4() for _ in range(5)]

    async def write(writer: int) -> None:
        for n in range(25):
            async with database.transaction() as tx:
                for complaint in {complaints[(writer + n) % 5], complaints[(writer * 3 + n) % 5]}:
                    tx.publish(rated(complaint))
                await asyncio.sleep(0)

    await asyncio.gather(*(write(n) for n in range(12)))

    async with database.transaction() as tx:
        inverted = await tx.fetchval(
            "select count(*) from outbox a join outbox b using (topic, key) "
            "where a.version < b.version and a.id > b.id"
        )
        gaps = await tx.fetchval(
            "select count(*) from "
            "(select key, max(version) m, count(*) c from outbox group by key) x where m <> c"
        )
    assert (inverted, gaps) == (0, 0)
