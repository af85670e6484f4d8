"""One run: the load goes on, the plan injects faults, all comes to rest, and the invariants are looked at."""

import asyncio
import json
import os
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.storage.schema import SERVICES
from tests.faults.fault_actions import FAULTS, reborn
from tests.faults.invariants import examine
from tests.faults.plans import Plan
from tests.faults.process_group import get
from tests.faults.rig import FaultRig, NotSettled

PATIENCE = float(os.environ.get("FENGPING_PATIENCE", "1"))
"""How many times longer than on a machine of its own things may take."""
SETTLE_SECONDS = 90.0
STALL_SECONDS = 45.0
"""Lag that does not move for so long must show in `/readyz` (15 s in the rig's settings, and
time to look).
"""
WATCH_SECONDS = 3.0


@dataclass(slots=True)
class Outcome:
    """One line of the report. `broken` is the first invariant that does not hold, with what was
    found; "" when all hold.
    """

    seed: int
    title: str
    faults: str
    broken: str = ""
    also: list[str] = field(default_factory=list)
    """What else was found broken."""
    acknowledged: int = 0
    unknown: int = 0
    events: int = 0
    deaths: dict[str, int] = field(default_factory=dict)
    """Deaths by armed failpoint in this run."""
    observations: list[dict[str, Any]] = field(default_factory=list)
    """What the faults saw."""
    load_p99_ms: float = 0.0
    settle_seconds: float = 0.0
    seconds: float = 0.0

    def line(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, default=str)


async def run(rig: FaultRig, plan: Plan) -> Outcome:
    """Carry out a plan on an installation that is at rest; look at everything when it is at rest
    again.
    """
    outcome = Outcome(plan.seed, plan.title, plan.faults)
    started, before = time.monotonic(), rig.processes.deaths
    watch = Watch(rig)
    watching = asyncio.create_task(watch.run())
    try:
        await _break(rig, plan, outcome)
        outcome.settle_seconds = round(await rig.settle(SETTLE_SECONDS * PATIENCE), 1)
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        outcome.broken = (
            f"I11: {error}"
            if isinstance(error, NotSettled)
            else f"fault: {type(error).__name__}: {error}"
        )
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    outcome.deaths = dict(rig.processes.deaths - before)
    await _examine(rig, outcome, watch.stalls)
    await _disarm(rig)
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


async def _break(rig: FaultRig, plan: Plan, outcome: Outcome) -> None:
    """The load from its beginning to its end, with everything that the plan does to the system
    meanwhile.
    """
    await rig.processes.scale(plan.replicas)
    await asyncio.gather(
        *(
            reborn(rig, each, *lives)
            for service, lives in plan.lives.items()
            for each in rig.processes.of(service)
        )
    )
    answered: Counter[str] = Counter()
    load = rig.load(
        seed=1_000 * plan.seed + len(rig.loads),
        operations=plan.operations,
        rate=plan.rate,
        on_progress=lambda c: answered.update(c - answered),
    )
    loading = asyncio.create_task(rig.run_load(load))
    try:
        rng = random.Random(f"scheduled/{plan.seed}")
        for scheduled_fault in plan.scheduled:
            while (
                not loading.done()
                and answered["acknowledged"] + answered["unknown"] < scheduled_fault.after
            ):
                await asyncio.sleep(0.05)
            observation = await FAULTS[scheduled_fault.name](rig, rng, **scheduled_fault.how)
            outcome.observations.append({"fault": scheduled_fault.name, **observation})
        tally = await loading
        outcome.load_p99_ms = round(tally.p99_ms)
    finally:
        loading.cancel()
        with suppress(BaseException):
            await loading


async def _examine(rig: FaultRig, outcome: Outcome, stalls: list[str]) -> None:
    findings, seen = await examine(rig, stalls=stalls)
    outcome.acknowledged, outcome.unknown, outcome.events = (
        seen["acknowledged"],
        seen["unknown"],
        seen["events"],
    )
    sentences = [str(finding) for finding in findings]
    outcome.broken = outcome.broken or (sentences[0] if sentences else "")
    outcome.also = [sentence for sentence in sentences if sentence != outcome.broken]


async def _disarm(rig: FaultRig) -> None:
    """Failpoints that were not reached are taken away."""
    for process in rig.processes.all:
        process.lives = []
        if process.wanted and process.armed:
            process.expected_end = True  # also when it dies at its place this very moment
            process.kill()
    await asyncio.sleep(0.5)
    await rig.processes.ready()


class Watch:
    """I12: looks at lag and readiness while faults go on.

    A lag that stands still while every replica says it is ready is a silent stall.
    """

    def __init__(self, rig: FaultRig) -> None:
        self._lab = rig
        self._since: dict[str, tuple[int, float]] = {}
        self.stalls: list[str] = []

    async def run(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._look()
            except Exception:
                # Servers that are away are the fault, not the finding: writes are taken all the
                # same. Time counts anew.
                self._since.clear()

    async def _look(self) -> None:
        behind = await self._lab.behind()
        for service in SERVICES:
            lag, since = self._since.get(service, (0, time.monotonic()))
            if behind.get(service, 0) == 0 or behind[service] < lag:
                since = time.monotonic()
            since = max(since, *(process.started_at for process in self._lab.processes.of(service)))
            self._since[service] = (behind.get(service, 0), since)
            if time.monotonic() - since > STALL_SECONDS * PATIENCE and await self._claims_ready(
                service
            ):
                self.stalls.append(
                    f"{service} is {behind[service]} records behind for {time.monotonic() - since:.0f} s and says it is ready"
                )
                self._since[service] = (behind[service], time.monotonic())

    async def _claims_ready(self, service: str) -> bool:
        answers = [
            (await get(process.internal_port, "/readyz"))[0]
            for process in self._lab.processes.of(service)
        ]
        return bool(answers) and all(answer == 200 for answer in answers)
