"""A rule: one pattern of one kind of personal data, and what decides that a find counts."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from shared.security.pii.hits import Certainty, PiiKind, Span
from shared.security.pii.reading import Reading

GAP: Final = r"(?:[^\w:;、。!?%=]|_){0,4}"
"""What may stand inside a number. Separators of times, list items and sentences may not:
`17:30，2026` is not a telephone number.
"""
NOT_AN_AMOUNT: Final = r"(?! ?(?:余|多|元|万|亿|美元|平|米|公里|件|人|户|次|吨|亩|个|年|套|%))"
"""Follows a number that would otherwise be one of money, area or people."""

CHUNK: Final = 2_000
"""Characters that one call of a pattern reads. The call holds the interpreter and with it the event
loop, wherever it runs.
"""
OVERLAP: Final = 600
"""Characters after a chunk that a find in it may reach into; no pattern is longer."""

Verdict = Certainty | None
Judge = Callable[[re.Match[str]], Verdict]


def certain(found: re.Match[str]) -> Verdict:
    """Return CERTAIN for every find."""
    del found
    return Certainty.CERTAIN


def to_check(found: re.Match[str]) -> Verdict:
    """Return TO_CHECK for every find."""
    del found
    return Certainty.TO_CHECK


@dataclass(frozen=True, slots=True)
class PiiRule:
    """Group 1 of `pattern` is the personal data. `judge` returns None for a find that is none.

    Every repetition in a pattern has an upper bound, so that the time is linear in the text.
    `sign` is a cheap pattern without which `pattern` finds nothing.
    """

    kind: PiiKind
    pattern: re.Pattern[str]
    judge: Judge = certain
    sign: re.Pattern[str] | None = None
    reads_spelt: bool = True

    def spans(self, reading: Reading) -> Iterator[Span]:
        """Yield the finds in both spellings of the text."""
        yield from self._spans_in(reading.plain)
        if self.reads_spelt and reading.spelt != reading.plain:
            yield from self._spans_in(reading.spelt)

    def _spans_in(self, text: str) -> Iterator[Span]:
        done = 0
        for chunk_start in range(0, len(text), CHUNK):
            chunk_end = chunk_start + CHUNK
            for found in self._finds(text, max(done, chunk_start), chunk_end + OVERLAP):
                if found.start() >= chunk_end:
                    break
                done = found.end()
                verdict = self.judge(found)
                if verdict is not None:
                    yield Span(found.start(1), found.end(1), self.kind, verdict)

    def _finds(self, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
        if self.sign is not None and not self.sign.search(text, start, end):
            return
        yield from self.pattern.finditer(text, start, end)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern, indifferent to upper and lower case."""
    return re.compile(pattern, re.IGNORECASE)


def digits(*classes: str) -> str:
    """Return the pattern of these characters with fillers between them."""
    return GAP.join(classes)


def number(shape: str) -> re.Pattern[str]:
    """Return the pattern of a number of this shape that no digit touches.

    It is a lookahead, so that every position is tried: a number must not hide the next one.
    """
    return compiled(rf"(?<!\d)(?=({shape})(?!\d))")


def alphanumeric(found: str) -> str:
    """Return the letters and digits of a find, in upper case."""
    return "".join(filter(str.isalnum, found.upper()))
