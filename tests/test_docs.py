"""The documentation names files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
PATH = re.compile(r"`((?:services|shared|tests|deploy|docs)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_of_a_page_exists(page):
    text = page.read_text()
    paths = [ROOT / path for path in PATH.findall(text)]
    links = [page.parent / link for link in LINK.findall(text)]

    assert [str(path) for path in (*paths, *links) if not path.exists()] == []
