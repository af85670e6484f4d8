"""Conventions of the codebase that a machine can check."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commit_subjects import problem_of

ROOT = Path(__file__).parent.parent
SERVICES = ("intake", "casework", "scoring", "notify")
LAYERS = {
    "__init__",
    "actions",
    "api",
    "app",
    "domain",
    "handlers",
    "jobs",
    "migrations",
    "pages",
    "settings",
    "store",
    "tables",
    "templates",
    "views",
}
OWN_PACKAGES = {"notify": {"transports"}, "intake": {"static"}}
TOP_LEVEL = {"services", "shared", "deploy", "tests", "docs"}
FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
LONG_FILES = 4
SAME_NAME_CLASSES = 8
MEANINGLESS_MODULES = {"utils", "helpers", "common", "misc", "manager"}

RETIRED_WORDS = frozenset(
    [
        "Arrival",
        "Beginning",
        "Broken",
        "Claim",
        "Clocks",
        "Door",
        "Flaw",
        "Forged",
        "Heard",
        "Kept",
        "Matter",
        "Moment",
        "Notary",
        "NotYet",
        "Once",
        "OnceTogether",
        "Pace",
        "Parcel",
        "Reach",
        "Refused",
        "Registers",
        "Repetition",
        "Seat",
        "Shredded",
        "Staged",
        "Standing",
        "Taken",
        "Ticks",
        "Together",
        "TooOften",
        "Unlabelled",
        "Visitor",
        "Who",
        "barred_unit",
        "beside_replays",
        "blow",
        "courier",
        "door",
        "doors",
        "duties",
        "duty",
        "fleet",
        "gate",
        "hear",
        "heard",
        "hearer",
        "hearers",
        "hears",
        "hint_of",
        "hold_back",
        "house",
        "informant",
        "informants",
        "laboratory",
        "let_go",
        "look_at_logs",
        "meet",
        "moments",
        "nursery",
        "park",
        "parked",
        "pass_gate",
        "reckon",
        "refuse_barred",
        "rest_seconds",
        "revive",
        "room",
        "rooms",
        "said",
        "see_other",
        "settle_memory",
        "sitting",
        "sittings",
        "stratum",
        "strikes",
        "struck_out",
        "tell",
        "tells",
        "tick",
        "ticks",
        "told",
        "trouble",
        "unmark",
        "untold",
    ]
)
"""Words of an earlier vocabulary; docs/glossary.md has the ones that replaced them."""


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split()]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


SOURCES = [
    path
    for path in tracked("services/*.py") + tracked("shared/*.py")
    if "migrations" not in path.parts
]
TESTS = tracked("tests/*.py")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ── layout ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_layers(service):
    folder = ROOT / "services" / service
    found = {path.stem for path in folder.iterdir() if path.name != "__pycache__"}

    assert found - OWN_PACKAGES.get(service, set()) == LAYERS


def test_top_level_holds_the_documented_folders():
    parts = [path.relative_to(ROOT).parts for path in tracked("*")]
    folders = {path[0] for path in parts if len(path) > 1}

    assert {folder for folder in folders if not folder.startswith(".")} == TOP_LEVEL


def test_module_names_have_a_meaning():
    assert [path for path in tracked("*.py") if path.stem in MEANINGLESS_MODULES] == []


# ── size ──────────────────────────────────────────────────────────────────────────────────────────


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_function_fits_on_a_screen(path):
    long = [node.name for node in functions(path) if lines_of(node) > FUNCTION_LINES_MAX]

    assert long == []


def test_few_files_are_long():
    lengths = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}
    long = [name for name, length in lengths.items() if length > FILE_LINES_MAX]

    assert len(long) <= LONG_FILES, long


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def words_in(name: str) -> set[str]:
    """Return an identifier and the words it consists of."""
    camel = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)
    return {name, *camel, *name.split("_")}


def defined_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, name) for everything that a file defines."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_retired_words_do_not_come_back():
    found = [
        f"{relative(path)}:{line} {name}"
        for path in SOURCES + TESTS
        for line, name in defined_names(path)
        if words_in(name) & RETIRED_WORDS
    ]

    assert found == []


def test_a_retired_word_inside_an_identifier_is_found():
    assert words_in("FengpingDoor") & RETIRED_WORDS
    assert words_in("_told_at") & RETIRED_WORDS
    assert not words_in("held_at_doorstep") & RETIRED_WORDS


def test_a_class_name_has_one_meaning():
    files: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                files[node.name].add(relative(path))
    shared_names = {name: found for name, found in files.items() if len(found) > 1}

    assert len(shared_names) <= SAME_NAME_CLASSES, shared_names


# ── transactions and commits ──────────────────────────────────────────────────────────────────────


def test_only_the_connection_pool_commits():
    allowed = ROOT / "shared/storage/connections.py"
    committing = [
        relative(path)
        for path in SOURCES
        if path != allowed and ".commit()" in path.read_text(encoding="utf-8")
    ]

    assert committing == []


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
