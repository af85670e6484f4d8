"""The faults that every change must pass: five runs on one installation, which reach every
failpoint and most of what can break.

`python -m tests.faults --seeds 50` (`make faults SEEDS=50`) is the long form.
"""

import shutil
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.plans import CONSUMER, DEAD_LETTERING, RELAY, SHORT, WRITERS, Plan, reaching
from tests.faults.rig import FaultRig
from tests.faults.runs import Outcome, run

pytestmark = [pytest.mark.faults, pytest.mark.stack]


class Bench:
    """The installation on which the runs follow each other; after one that broke it, a new one."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()
        self._lab: FaultRig | None = None
        self.deaths: Counter[str] = Counter()

    async def carry_out(self, plan: Plan) -> Outcome:
        if self._lab is None:
            folder = Path(tempfile.mkdtemp(prefix="fengping-faults-"))
            self._exits.callback(shutil.rmtree, folder, ignore_errors=True)
            self._lab = await self._exits.enter_async_context(FaultRig(folder).running())
        outcome = await run(self._lab, plan)
        self.deaths += Counter(outcome.deaths)
        if outcome.broken:
            await self.close()
        return outcome

    async def close(self) -> None:
        self._lab = None
        await self._exits.aclose()


@pytest.fixture(scope="module")
async def bench():
    made = Bench()
    yield made
    await made.close()


@pytest.mark.parametrize("plan", SHORT, ids=lambda plan: plan.title.replace(" ", "_"))
async def test_nothing_is_lost_doubled_or_out_of_order_when(bench, plan):
    outcome = await bench.carry_out(plan)

    print(outcome.line())
    assert not outcome.broken, (
        f"{outcome.broken}\nalso: {outcome.also}\nfaults: {outcome.faults}\nobservations: {outcome.observations}"
    )


async def test_every_kind_of_failpoint_was_reached(bench):
    """A place at which nobody dies any more would go untested without a word. Runs after the plans;
    those missed get one more.
    """
    assert bench.deaths, "this test runs after the plans: run the whole file"
    wanted = {*WRITERS, *RELAY, *CONSUMER, *DEAD_LETTERING}
    if missed := wanted - reached(bench):
        outcome = await bench.carry_out(reaching(missed))
        assert not outcome.broken, outcome.line()

    assert wanted <= reached(bench), bench.deaths
    assert any(place.startswith("job.") for place in reached(bench))


def reached(bench: Bench) -> set[str]:
    return {place.partition("=")[0] for place in bench.deaths}
