"""`python -m tests.faults.mutants [WORD …]`: break each rule in a copy of the sources and see that
its test turns red.

WORD chooses rules by name.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.mutants.catalogue import CATALOGUE, Mutant
from tests.faults.mutants.source_edit import MisfitEdit
from tests.faults.process_group import ROOT

COPIED = ("services", "shared", "tests", "deploy", "pyproject.toml")
TEST_SECONDS = 240
FAILED = 1
"""What pytest answers when a test failed; anything else (nothing collected, no such test, an error
of its own) proves nothing.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `verdict`: caught, SURVIVED, or why it could not be tried."""

    mutant: Mutant
    verdict: str
    seconds: float


@contextmanager
def copy_of_sources() -> Iterator[Path]:
    """The sources in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="fengping-mutant-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(
                    source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
                )
            else:
                shutil.copy(source, folder / part)
        yield folder


def apply(mutant: Mutant, folder: Path) -> str:
    """Edit the copy; gives what is wrong with the mutant itself, "" when it fits the sources."""
    try:
        for edit in mutant.edits:
            edit.apply(folder)
    except MisfitEdit as misfit:
        return f"does not fit: {misfit}"
    return ""


def run_test(test: str, folder: Path) -> int | None:
    """The test's answer in that folder: pytest's exit code, None when it took too long."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            return child.wait(TEST_SECONDS)
        except subprocess.TimeoutExpired:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
            return None


def examine(mutant: Mutant) -> Result:
    """Break one rule and ask its test."""
    started = time.monotonic()
    with copy_of_sources() as folder:
        wrong = apply(mutant, folder)
        code = None if wrong else run_test(mutant.test, folder)
    # A test that never ends does not pass either; the bound is far above what it takes.
    verdict = wrong or (
        "caught"
        if code in (FAILED, None)
        else "SURVIVED"
        if code == 0
        else f"pytest answered {code}"
    )
    return Result(mutant, verdict, time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--at-once", type=int, default=2)
    asked = parser.parse_args()
    chosen = [
        m for m in CATALOGUE if not asked.words or any(word in m.name for word in asked.words)
    ]
    results: list[Result] = []
    with ThreadPoolExecutor(asked.at_once) as pool:
        for result in pool.map(examine, chosen):
            results.append(result)
            print(
                f"{result.verdict:>8}  {result.seconds:5.0f} s  {result.mutant.name}",
                file=sys.stderr,
                flush=True,
            )
    print("| rule broken | caught by | s | |\n|---|---|---|---|")
    for result in results:
        print(
            f"| {result.mutant.name} | {result.mutant.test.rpartition('::')[2]} | {result.seconds:.0f} | {result.verdict} |"
        )
    caught = sum(result.verdict == "caught" for result in results)
    print(f"\n{caught} of {len(results)} caught")
    sys.exit(caught < len(results))


if __name__ == "__main__":
    main()
