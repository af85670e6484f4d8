"""Programs of other projects that check our deployment, and where they are."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def program(name: str) -> str:
    """Path of a program: of the environment, of the packages that tests/setup unpacked, or of this
    machine. Fails the test without it.
    """
    unpacked = Path(sys.prefix) / "debian/usr"
    for folder in (Path(sys.prefix) / "bin", unpacked / "bin", unpacked / "sbin"):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        pytest.fail(
            f"{name} is missing: run `make setup`, or install it ({PACKAGES.get(name, 'requirements-dev.lock')})",
            pytrace=False,
        )
    return found


PACKAGES = {
    "promtool": "Debian's package prometheus",
    "amtool": "Debian's package prometheus-alertmanager",
    "nginx": "Debian's package nginx",
}


def output_of(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> str:
    """What the program prints. Fails the test with its words when it refuses."""
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, (
        f"{name} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    )
    return done.stdout
