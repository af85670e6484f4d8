"""Searches a text by all rules, on the event loop or off it."""

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from shared.security.pii import contacts, documents, numbers, people, places
from shared.security.pii.hits import PiiHit, PiiKind, Span, merge_spans
from shared.security.pii.known import known_value_spans, repeated_name_spans
from shared.security.pii.reading import Reading, read_text
from shared.security.pii.rules import PiiRule

CHECKED_LENGTH_MAX: Final = 20_000
"""Characters that are searched. The rest of a longer text is one hit of the kind UNCHECKED."""
RULES: Final[tuple[PiiRule, ...]] = (
    *numbers.RULES,
    *documents.RULES,
    *contacts.RULES,
    *people.RULES,
    *places.RULES,
)
_REVERSED: Final = re.compile("[\u202b\u202e\u2067\u200f\u061c][^\n\u202c\u2069]{0,2000}")
"""Marks that make a reader see `000 8310 0831` as a mobile number. No Chinese text needs them."""
_WORKER: Final = ThreadPoolExecutor(1, thread_name_prefix="pii")
"""One thread: several would take turns with the event loop and delay it by each one's turn."""

_logger = logging.getLogger(__name__)


def find_pii(text: str, known_values: Iterable[str] = ()) -> tuple[PiiHit, ...]:
    """Return all personal data in `text`, in order and without overlaps.

    `known_values` are the complainant's own name, numbers and address; they are found in any
    spelling. The check fails closed: text beyond CHECKED_LENGTH_MAX characters, or any text on
    which a rule fails, is a hit of the kind UNCHECKED. The time is linear in the length.
    """
    known = tuple(known_values)
    try:
        spans = _search(text[:CHECKED_LENGTH_MAX], known)
    except Exception as error:
        # The message could quote the text.
        _logger.error("personal data check failed: %s", type(error).__name__)
        spans = [Span(0, len(text), PiiKind.UNCHECKED)] if text else []
    if len(text) > CHECKED_LENGTH_MAX:
        spans = [*spans, Span(CHECKED_LENGTH_MAX, len(text), PiiKind.UNCHECKED)]
    return tuple(_hit(text, span) for span in merge_spans(spans))


async def find_pii_async(text: str, known_values: Iterable[str] = ()) -> tuple[PiiHit, ...]:
    """Return what `find_pii` returns, without stopping the event loop."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_WORKER, find_pii, text, tuple(known_values))


def certain_hits(hits: Iterable[PiiHit]) -> tuple[PiiHit, ...]:
    """Return the hits that no person needs to decide."""
    return tuple(hit for hit in hits if hit.is_certain)


def mask_pii(text: str, known_values: Iterable[str] = ()) -> str:
    """Return the text with all personal data replaced by its kind, as `［手机号码］`.

    No digit remains from which the rest could be guessed.
    """
    return _mask(text, find_pii(text, known_values))


async def mask_pii_async(text: str, known_values: Iterable[str] = ()) -> str:
    """Return what `mask_pii` returns, without stopping the event loop."""
    return _mask(text, await find_pii_async(text, known_values))


def _mask(text: str, hits: Sequence[PiiHit]) -> str:
    parts: list[str] = []
    done = 0
    for hit in hits:
        parts += [text[done : hit.start], f"［{hit.label}］"]
        done = hit.end
    return "".join([*parts, text[done:]])


def _search(text: str, known: Sequence[str]) -> list[Span]:
    """Return the spans of all finds, with offsets of `text`."""
    reading = read_text(text)
    spans: list[Span] = []
    for rule in RULES:
        spans.extend(rule.spans(reading))
    spans.extend(known_value_spans(reading, known))
    spans.extend(repeated_name_spans(reading, spans))
    originals = [_in_original(span, reading) for span in spans]
    return originals + [
        Span(found.start(), found.end(), PiiKind.HIDDEN) for found in _REVERSED.finditer(text)
    ]


def _in_original(span: Span, reading: Reading) -> Span:
    start, end = reading.original(span.start, span.end)
    return Span(start, end, span.kind, span.certainty)


def _hit(text: str, span: Span) -> PiiHit:
    return PiiHit(span.kind, span.start, span.end, span.certainty, text[span.start : span.end])
