"""What a check finds: differences, which must not be, and notes about what was not checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was sealed. `subject`: the leaf, ballot, line or unit."""

    check: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject} {self.sentence}"


@dataclass(frozen=True)
class Remark:
    """Something that could not be checked, or not yet."""

    sentence: str


Finding = Difference | Remark
Findings = Iterator[Finding]
Progress = Callable[[str], None]
"""Receives what is being checked."""
