"""A load against the whole house: every acknowledgement is one row, also when the witness itself
was killed in between.
"""

import json

import pytest

from services.simulate.ledger import acknowledged, read_ledger
from services.simulate.load import Load
from tests.journeys.conftest import PASSWORD, House, shanghai

pytestmark = pytest.mark.stack
OPERATIONS = 60


async def stored(house: House) -> dict[str, int]:
    intake = house.services["intake"]
    async with intake.database.transaction(intake.context) as tx:
        return {
            name: await tx.fetchval(f"select count(*) from {name}")
            for name in ("complaints", "ballots", "visits")
        }


async def test_every_acknowledged_write_is_there_once_and_a_killed_run_goes_on(
    house: House, tmp_path
):
    await house.publish()
    ledger = tmp_path / "ledger.jsonl"
    load = Load(
        base_url=house.client.base_url,
        password=PASSWORD,
        ledger=ledger,
        rate=0,
        operations=OPERATIONS,
        now=lambda: shanghai(3, 9),
    )

    tally = await load.run()

    assert (tally.acknowledged, tally.refused, tally.unknown, tally.skipped) == (
        OPERATIONS,
        0,
        0,
        0,
    )
    taken = acknowledged(read_ledger(ledger))
    assert len(taken) == OPERATIONS
    plural = {"complaint": "complaints", "ballot": "ballots", "visit": "visits"}
    expected = {
        plural[kind]: sum(line["kind"] == kind for line in taken.values()) for kind in plural
    }
    assert await stored(house) == expected
    assert "query_code" not in ledger.read_text()

    # The witness is killed before it could note its last twenty answers, and started again.
    lines = ledger.read_text().splitlines(keepends=True)
    forgotten = set(sorted(taken)[-20:])
    ledger.write_text(
        "".join(
            line
            for line in lines
            if not (json.loads(line).get("id") in forgotten and '"acknowledged"' in line)
        )
    )
    tally = await load.run()

    assert (tally.skipped, tally.acknowledged, tally.refused, tally.unknown) == (
        OPERATIONS - 20,
        20,
        0,
        0,
    )
    assert await stored(house) == expected, "sent again, nothing doubled"
