"""The shape of the house is a test: siblings look alike, and every rule that a machine can check is
checked.
"""

import ast
import subprocess
from pathlib import Path

import pytest

from tests.commit_subjects import problem_of

ROOT = Path(__file__).parent.parent
SERVICES = ("intake", "casework", "scoring", "notify")
ROOMS = {
    "__init__",
    "app",
    "settings",
    "pages",
    "api",
    "handlers",
    "jobs",
    "actions",
    "store",
    "tables",
    "domain",
    "templates",
    "migrations",
}
OWN_ROOM = {"notify": {"transports"}, "intake": {"static"}}
TOP = {"services", "shared", "deploy", "tests", "docs"}


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in listed]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service):
    rooms = {
        path.stem for path in (ROOT / "services" / service).iterdir() if path.name != "__pycache__"
    }

    assert rooms - OWN_ROOM.get(service, set()) - {"views"} == ROOMS


def test_the_top_level_holds_what_the_map_says():
    folders = {
        path.relative_to(ROOT).parts[0]
        for path in tracked("*")
        if len(path.relative_to(ROOT).parts) > 1
    }

    assert {folder for folder in folders if not folder.startswith(".")} == TOP


def test_no_room_is_called_by_a_word_that_means_nothing():
    assert [
        path
        for path in tracked("*.py")
        if path.stem in {"utils", "helpers", "common", "misc", "manager"}
    ] == []


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


SOURCES = [
    path
    for path in tracked("services/*.py") + tracked("shared/*.py")
    if "migrations" not in path.parts
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_fits_on_a_screen(path):
    long = [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in functions(path)
        if node.end_lineno - node.lineno >= 60
    ]

    assert long == []


def test_nobody_commits_but_the_transaction():
    found = [
        str(path.relative_to(ROOT))
        for path in tracked("services/*.py") + tracked("shared/*.py")
        if ".commit()" in path.read_text(encoding="utf-8")
        and path != ROOT / "shared/storage/connections.py"
    ]

    assert found == []


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("casework: count deadline from filing", None),
        ("web(forms): keep what was typed", None),
        ("Count deadline from filing", "not `area: imperative`"),
        ("casework: count deadline; notify: tell the unit", "two thoughts in one commit"),
        ("casework: " + "x" * 60, "70 characters, at most 60"),
    ],
)
def test_commit_subject_names_area_and_one_thought(subject, problem):
    assert problem_of(subject) == problem
