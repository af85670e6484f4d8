"""`python -m tests.faults --seeds 50 [--start N] [--short]`: the long run.

One JSON line per run on standard output, progress on standard error.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.plans import SHORT, Plan, plan
from tests.faults.rig import FaultRig
from tests.faults.runs import Outcome, run

FRESH_EVERY = 10
"""Runs on one installation before the next one is made from nothing."""


async def run_on_one_installation(plans: Sequence[Plan], *, keep: Path | None) -> list[Outcome]:
    """These plans one after the other on one installation; it ends early at the first that fails."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="fengping-faults-") as folder:
        async with FaultRig(Path(folder)).running() as rig:
            for each in plans:
                outcome = await run(rig, each)
                print(outcome.line(), flush=True)
                _progress(outcome)
                outcomes.append(outcome)
                if outcome.broken:
                    _keep_logs(rig, keep, each.seed)
                    break
    return outcomes


def _keep_logs(rig: FaultRig, keep: Path | None, seed: int) -> None:
    if keep:
        for log in rig.processes.logs:
            (keep / f"{seed}-{log.name}").write_bytes(log.read_bytes())


def _progress(outcome: Outcome) -> None:
    verdict = f"BROKEN {outcome.broken[:400]}" if outcome.broken else "holds"
    print(
        f"seed {outcome.seed}: {outcome.seconds:.0f} s, rest {outcome.settle_seconds:.0f} s, {outcome.faults}: {verdict}",
        file=sys.stderr,
        flush=True,
    )


async def all_of(plans: Sequence[Plan], *, keep: Path | None) -> list[Outcome]:
    """All plans; after a failure the rest go on in a fresh installation."""
    left, outcomes = list(plans), []
    while left:
        done = await run_on_one_installation(left[:FRESH_EVERY], keep=keep)
        outcomes += done
        left = left[len(done) :]
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument(
        "--short",
        action="store_true",
        help="the plans that every change must pass, instead of seeds",
    )
    parser.add_argument("--only", type=int, help="of the short plans this one")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the processes' logs of runs that fail"
    )
    asked = parser.parse_args()
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    plans = (
        [p for p in SHORT if asked.only in (None, p.seed)]
        if asked.short
        else [plan(s) for s in range(asked.start, asked.start + asked.seeds)]
    )
    started = time.monotonic()
    outcomes = asyncio.run(all_of(plans, keep=asked.keep))
    broken = [outcome for outcome in outcomes if outcome.broken]
    deaths: Counter[str] = sum((Counter(outcome.deaths) for outcome in outcomes), Counter())
    print(
        f"{len(outcomes)} runs in {time.monotonic() - started:.0f} s, {len(broken)} broken; "
        f"{deaths.total()} deaths at {len({place.partition('=')[0] for place in deaths})} failpoints; "
        f"longest to rest {max((o.settle_seconds for o in outcomes), default=0):.0f} s",
        file=sys.stderr,
    )
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
