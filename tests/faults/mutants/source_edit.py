"""Edits of source text that survive reformatting and moved code.

A snippet is found by its tokens: white space between them and a trailing comma before a closing
bracket do not matter. It must occur exactly once in the Python sources below a folder or in a file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


class MisfitEdit(Exception):
    """The snippet does not occur exactly once; the message says where it was searched."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the only occurrence of `old` below `where` (a folder or a file) by `new`."""

    where: str
    old: str
    new: str

    def locate(self, root: Path) -> tuple[Path, re.Match[str]]:
        """Return the file and the place of `old`. Raises MisfitEdit."""
        pattern = _pattern(self.old)
        found = [
            (file, match)
            for file in _python_files(root / self.where)
            for match in pattern.finditer(file.read_text(encoding="utf-8"))
        ]
        if len(found) != 1:
            raise MisfitEdit(f"{self.where} holds {len(found)} times: {self.old.strip()[:90]}")
        return found[0]

    def apply(self, root: Path) -> None:
        """Write the edited file. Raises MisfitEdit."""
        file, match = self.locate(root)
        text = file.read_text(encoding="utf-8")
        before = text[: match.start()]
        line_start = before[before.rfind("\n") + 1 :]
        replacement = dedent(self.new).strip("\n")
        if not line_start.strip():
            replacement = indent(replacement, line_start)[len(line_start) :] or "pass"
        file.write_text(before + replacement + text[match.end() :], encoding="utf-8")


def _python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _pattern(snippet: str) -> re.Pattern[str]:
    tokens = [token for token in _TOKEN.findall(snippet.strip()) if not token.isspace()]
    parts: list[str] = []
    for previous, token in zip(["", *tokens], tokens, strict=False):
        are_adjacent_words = previous[-1:].isalnum() and token[:1].isalnum()
        parts.append(r"\s+" if are_adjacent_words else r"\s*")
        parts.append(r",?\s*" if token in ")]}" and previous != "," else "")
        parts.append(re.escape(token))
    return re.compile("".join(parts[2:]))
