"""Load schemes from YAML files; errors name the file, the line and the correction.

A date (`begins`, `ends`, `due`) is `MM-DD` in the campaign's year or `+1 MM-DD` in the year after.
A limit is `5wd`, `15d`, `24h`, or a mapping with `closes` and `roll`. Everything else has the shape
of `Scheme`, field by field.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import yaml

from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.schemes.checks import check
from shared.appraisal.schemes.checks.violation import with_paths
from shared.appraisal.schemes.scheme import Scheme
from shared.foundation.safe_yaml import InvalidYaml, compose_yaml

FOLDER = Path(__file__).parent
DATE_KEYS = frozenset({"begins", "ends", "due"})
LIMIT_KEYS = frozenset({"limit", "appeal", "appeal_decision"})


class SchemeMistake(msgspec.Struct, frozen=True):
    """A mistake in a file: line (from 1), path in the scheme, and the correction as a sentence."""

    file: str
    line: int
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.file} 第 {self.line} 行：{self.sentence}"


class SchemeError(ValueError):
    """A scheme file is invalid. `mistakes` lists everything found in one pass."""

    def __init__(self, mistakes: list[SchemeMistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))


def scheme_ids() -> list[str]:
    """Return the ids of the shipped schemes: C, J, …"""
    return sorted(path.stem.upper() for path in FOLDER.glob("*.yaml"))


def load_scheme(source: str | Path, year: int) -> Scheme:
    """Return the scheme with a shipped id ("J"), or of a file, for the campaign of `year`.

    Raises SchemeError with every mistake, or FileNotFoundError.
    """
    path = _path_of(source)
    return read_scheme(path.read_text(encoding="utf-8"), year, path.name)


def _path_of(source: str | Path) -> Path:
    if isinstance(source, str) and source.isalpha():
        return FOLDER / f"{source.lower()}.yaml"
    return Path(source)


def read_scheme(
    text: str,
    year: int,
    name: str = "方案",
) -> Scheme:
    """Return the scheme in the text of a file called `name`. Raises SchemeError."""
    document = _Document(name, year)
    content = document.plain(_compose(text, name), "")
    if document.mistakes:
        raise SchemeError(document.mistakes)
    if not isinstance(content, dict):
        raise _unreadable(name, "文件应以 id: 开头，逐项写明方案")
    scheme = _convert(content | {"year": str(year)}, document)
    mistakes = _mistakes(content, scheme, document)
    if mistakes:
        raise SchemeError(mistakes)
    return scheme


def _mistakes(
    content: dict[str, Any],
    scheme: Scheme,
    document: "_Document",
) -> list[SchemeMistake]:
    unknown_keys = _unknown_keys(content, msgspec.to_builtins(scheme), "", document)
    violations = (document.mistake(path, sentence) for path, sentence in check(scheme))
    return [*unknown_keys, *violations]


@dataclass
class _Document:
    """Converts YAML nodes to plain values and records the line of every path."""

    name: str
    year: int
    lines: dict[str, int] = field(default_factory=dict)
    mistakes: list[SchemeMistake] = field(default_factory=list)

    def mistake(self, path: str, sentence: str) -> SchemeMistake:
        """Return a mistake at `path`, or at its nearest ancestor that the file contains."""
        while path not in self.lines and path:
            path = _parent(path)
        return SchemeMistake(self.name, self.lines.get(path, 1), path, sentence)

    def plain(self, node: yaml.Node, path: str) -> Any:
        """Return the node as dicts, lists and strings, with dates and limits resolved."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, at) for at, item in with_paths(path, node.value)]
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            at = _child(path, key)
            self.lines[at] = key_node.start_mark.line + 1
            if key in found:
                self.mistakes.append(self.mistake(at, f"“{key}”写了两次，请删去一处"))
            found[key] = self._value(key, at, self.plain(value_node, at))
        return found

    def _value(
        self,
        key: str,
        path: str,
        value: Any,
    ) -> Any:
        try:
            if key in DATE_KEYS and isinstance(value, str):
                return _resolve_date(value, self.year)
            if key in LIMIT_KEYS and isinstance(value, str):
                return msgspec.to_builtins(TimeLimit.parse(value))
        except ValueError as error:
            self.mistakes.append(self.mistake(path, str(error)))
        return value


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _parent(path: str) -> str:
    end = max(path.rfind("."), path.rfind("["), 0)
    return path[:end]


def _compose(text: str, name: str) -> yaml.Node:
    try:
        node = compose_yaml(text)
    except InvalidYaml as error:
        raise _unreadable(name, error.sentence, error.line) from error
    if node is None:
        raise _unreadable(name, "文件是空的")
    return node


def _unreadable(
    name: str,
    sentence: str,
    line: int = 1,
) -> SchemeError:
    return SchemeError([SchemeMistake(name, line, "", sentence)])


def _resolve_date(text: str, year: int) -> str:
    match = re.fullmatch(r"(?:\+([1-3]) )?(\d\d)-(\d\d)", text)
    if match is None:
        raise ValueError(f"日期“{text}”写法不对：应为 09-01（当年）或 +1 09-01（次年）")
    years_after, month, day = match.groups()
    due_year = year + int(years_after or 0)
    try:
        return date(due_year, int(month), int(day)).isoformat()
    except ValueError as error:
        raise ValueError(f"{due_year} 年没有 {month}-{day} 这一天，请改日期") from error


def _convert(content: dict[str, Any], document: _Document) -> Scheme:
    try:
        return msgspec.convert(content, Scheme, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").lstrip(".")
        raise SchemeError([document.mistake(path, _explain(message, path))]) from error


SHAPES = (
    (r"Object missing required field `(\w+)`", "缺少 {0}，请补上"),
    (r"Object missing required field `(\w+)` - .*", "缺少 {0}，请补上"),
    (r"Invalid enum value '?(.*?)'?", "“{0}”不是允许的取值，请改为文档列出的取值之一"),
    (r"Invalid value '?(.*?)'?", "“{0}”不是允许的取值，请改为文档列出的取值之一"),
    (r"Expected `(\w+)(?: \| null)?`, got `null`", "不能留空，应填 {0}"),
    (r"Expected `array`, got .*", "应为列表，每项以 - 开头或写在 [ ] 中"),
    (r"Expected `object`, got .*", "应为若干行“键: 值”"),
    (r"Expected `int`, got .*", "应为整数"),
    (r"Expected `bool`, got .*", "应为 true 或 false"),
    (r"Expected `decimal(?: \| null)?`, got .*", "应为数字"),
    (r"Invalid decimal string", "应为数字"),
    (r"Expected `str`, got .*", "应为一段文字"),
    (r"Expected .*, got .*", "写法不对，请对照方案说明检查这一项"),
)
"""Patterns of msgspec's error messages and the corrections to show instead."""


def _explain(message: str, path: str) -> str:
    name = path.rsplit(".", 1)[-1] or "文件"
    for pattern, sentence in SHAPES:
        if match := re.fullmatch(pattern, message):
            return f"{name}：{sentence.format(*match.groups())}"
    return f"{name}：写法不对（{message}）"


def _unknown_keys(
    given: Any,
    known: Any,
    path: str,
    document: _Document,
) -> Iterator[SchemeMistake]:
    """Yield the keys of the file that `Scheme` does not have: misspelled or misplaced."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            at = _child(path, key)
            if key not in known:
                yield document.mistake(at, f"不认识“{key}”，请检查拼写和缩进，或删去")
            else:
                yield from _unknown_keys(value, known[key], at, document)
    elif isinstance(given, list) and isinstance(known, list | tuple):
        for at, (item, known_item) in with_paths(path, zip(given, known, strict=True)):
            yield from _unknown_keys(item, known_item, at, document)
