"""A load against all services: an acknowledged write is one row, also after a killed run."""

import json

import pytest

from services.simulate.ledger import acknowledged, read_ledger
from services.simulate.load import Load
from tests.journeys.conftest import PASSWORD, System, shanghai

pytestmark = pytest.mark.stack
OPERATIONS = 60


STORED = {
    "complaints": "complaints",
    # Released or still waiting: one statement sees each ballot in one of the two.
    "ballots": "(select id from ballots union all select id from waiting_ballots) as each_ballot",
    "visits": "visits",
}


async def stored(system: System) -> dict[str, int]:
    intake = system.services["intake"]
    async with intake.database.transaction(intake.context) as tx:
        return {
            name: await tx.fetchval(f"select count(*) from {source}")
            for name, source in STORED.items()
        }


async def test_acknowledged_writes_are_stored_once_and_a_killed_run_continues(
    system: System, tmp_path
):
    await system.publish()
    ledger = tmp_path / "ledger.jsonl"
    load = Load(
        base_url=system.client.base_url,
        password=PASSWORD,
        ledger=ledger,
        rate=0,
        operations=OPERATIONS,
        now=lambda: shanghai(3, 9),
    )

    summary = await load.run()

    assert (summary.acknowledged, summary.refused, summary.unknown, summary.skipped) == (
        OPERATIONS,
        0,
        0,
        0,
    )
    acknowledged_lines = acknowledged(read_ledger(ledger))
    assert len(acknowledged_lines) == OPERATIONS
    plural = {"complaint": "complaints", "ballot": "ballots", "visit": "visits"}
    expected = {
        plural[kind]: sum(line["kind"] == kind for line in acknowledged_lines.values())
        for kind in plural
    }
    assert await stored(system) == expected
    assert "query_code" not in ledger.read_text()

    # The load is killed before it notes its last twenty answers, and started again.
    lines = ledger.read_text().splitlines(keepends=True)
    forgotten = set(sorted(acknowledged_lines)[-20:])
    ledger.write_text(
        "".join(
            line
            for line in lines
            if not (json.loads(line).get("id") in forgotten and '"acknowledged"' in line)
        )
    )
    summary = await load.run()

    assert (summary.skipped, summary.acknowledged, summary.refused, summary.unknown) == (
        OPERATIONS - 20,
        20,
        0,
        0,
    )
    assert await stored(system) == expected, "repeated writes are stored once"
