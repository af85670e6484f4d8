"""Read YAML that people upload, bounded in size, depth and number of nodes.

An alias of an alias of an alias is how a kilobyte becomes gigabytes. The text is therefore checked
as a stream of events, in which an alias counts as much as what it stands for, before anything is
built from it.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

CHARS_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 20
NODES_MAX: Final = 50_000
BAD_ALIAS: Final = "别名没有对应的内容，或包含了自己"
TOO_LARGE: Final = f"内容太多或层次太深（最多 {DEPTH_MAX} 层；别名按展开后的内容计算）"

_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where it is installed: ten times as fast."""
Loader = type[yaml.SafeLoader] | type[yaml.BaseLoader]


class InvalidYaml(ValueError):
    """The text is not acceptable YAML: the line, and a sentence for the person who wrote it."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.sentence = sentence


def load_yaml(text: str, *, loader: Loader = yaml.SafeLoader) -> Any:
    """Return the document as plain values; `yaml.BaseLoader` keeps everything text.

    Raises InvalidYaml.
    """
    _check(text)
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError) as error:
        raise _malformed(error) from error


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the document as nodes with their lines, or None if it is empty. Raises InvalidYaml."""
    _check(text)
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def _check(text: str) -> None:
    if len(text) > CHARS_MAX:
        raise InvalidYaml(1, f"文件超过 {CHARS_MAX // 1024} KB，请检查是否选错了文件")
    try:
        _check_events(text)
    except yaml.YAMLError as error:
        raise _malformed(error) from error


def _check_events(text: str) -> None:
    size = _Size()
    for event in yaml.parse(text, Loader=_PARSER):
        sentence = size.problem_after(event)
        if sentence:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise InvalidYaml(line, sentence)


@dataclass(slots=True)
class _Size:
    """The size of a document with every alias replaced by what it stands for."""

    nodes: int = 0
    open: list[tuple[str | None, int]] = field(default_factory=list)
    """Anchor of each open collection, and the nodes before it."""
    anchored: dict[str, int] = field(default_factory=dict)

    def problem_after(self, event: yaml.Event) -> str:
        """Count an event; return a sentence if the document is now too large, else ""."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchored:
                return BAD_ALIAS
            self.nodes += self.anchored[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, self.nodes))
            self.nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.open.pop()
            self._remember(anchor, self.nodes - before)
        elif isinstance(event, yaml.ScalarEvent):
            self.nodes += 1
            self._remember(event.anchor, 1)
        too_large = self.nodes > NODES_MAX or len(self.open) > DEPTH_MAX
        return TOO_LARGE if too_large else ""

    def _remember(self, anchor: str | None, nodes: int) -> None:
        if anchor:
            self.anchored[anchor] = nodes


def _malformed(error: Exception) -> InvalidYaml:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return InvalidYaml(1, "文件含有不允许的字符或数值，请另存为 UTF-8 文本")
    return InvalidYaml(mark.line + 1, "不是有效的 YAML，请检查这一行附近的缩进、冒号和引号")
