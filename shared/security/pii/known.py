"""Values that identify the complainant, found in any spelling."""

import re
from collections.abc import Iterable, Iterator, Sequence

from shared.security.pii.hits import Certainty, PiiKind, Span
from shared.security.pii.reading import Reading
from shared.security.pii.rules import GAP
from shared.security.text_folding import normalize_text

NAMES_FOLLOWED_MAX = 20
"""Introduced names that are looked for in the rest of the text."""


def known_value_spans(reading: Reading, values: Iterable[str]) -> Iterator[Span]:
    """Yield where one of the values stands."""
    known = [normalize_text(value) for value in values]
    for text in {reading.plain, reading.spelt}:
        for start, end in _places(text, known):
            yield Span(start, end, PiiKind.KNOWN)


def repeated_name_spans(reading: Reading, spans: Sequence[Span]) -> Iterator[Span]:
    """Yield where a name that the text introduces stands again."""
    names: dict[str, Certainty] = {}
    for span in spans:
        if span.kind is PiiKind.NAME and len(names) < NAMES_FOLLOWED_MAX:
            names.setdefault(normalize_text(reading.plain[span.start : span.end]), span.certainty)
    for name, certainty in names.items():
        for start, end in _places(reading.plain, [name]):
            yield Span(start, end, PiiKind.NAME, certainty)


def _places(text: str, normalized: Sequence[str]) -> Iterator[tuple[int, int]]:
    if not normalized:
        return
    alphanumeric = "".join(filter(str.isalnum, text)).casefold()
    for value in normalized:
        # A single character would be found everywhere. Compiling a pattern is expensive, so look
        # first whether there is anything to find.
        if len(value) < 2 or value not in alphanumeric:
            continue
        pattern = GAP.join(map(re.escape, value))
        for found in re.finditer(pattern, text, re.IGNORECASE):
            yield found.span()
