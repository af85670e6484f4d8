"""The result of a check, and the paths of what is checked."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

SchemeViolation = tuple[str, str]
"""(path in the scheme, e.g. `components[2].weight`; sentence in Chinese)."""

T = TypeVar("T")


def with_paths(path: str, listed: Iterable[T]) -> Iterator[tuple[str, T]]:
    """Yield every entry of a list with its path, e.g. `components[2]`."""
    for index, entry in enumerate(listed):
        yield f"{path}[{index}]", entry
