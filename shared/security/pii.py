"""Detection of personal data in free text. See docs/decisions/personal-data-detection.md."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from stdnum import luhn
from stdnum.cn import ric

from shared.security.text_folding import CHINESE_NUMERALS, RANDOM_IDS, fold_width, normalize_text


class PiiKind(StrEnum):
    """Kinds of personal data, the most sensitive first."""

    KNOWN = "known"
    ID_CARD = "id_card"
    BANK_CARD = "bank_card"
    MOBILE = "mobile"
    LANDLINE = "landline"
    EMAIL = "email"
    PLATE = "plate"

    @property
    def label(self) -> str:
        """The name of the kind on pages."""
        return _KIND_LABELS[self]


_KIND_LABELS: Final = {
    PiiKind.KNOWN: "来件人信息",
    PiiKind.ID_CARD: "身份证号",
    PiiKind.BANK_CARD: "银行卡号",
    PiiKind.MOBILE: "手机号码",
    PiiKind.LANDLINE: "固定电话",
    PiiKind.EMAIL: "电子邮箱",
    PiiKind.PLATE: "车牌号",
}
assert _KIND_LABELS.keys() == set(PiiKind), "every kind has a name on pages"
_PRECEDENCE: Final = {kind: rank for rank, kind in enumerate(PiiKind)}


@dataclass(frozen=True, slots=True)
class PiiMatch:
    """Personal data at `text[start:end]` of the searched text. Never log `text`."""

    kind: PiiKind
    start: int
    end: int
    text: str = field(repr=False)


def find_pii(text: str, known_values: Iterable[str] = ()) -> list[PiiMatch]:
    """Return all personal data in `text`, in order and without overlaps.

    `known_values` are the complainant's own name, numbers and address; they are found in any
    spelling. Numbers are found in any width or script, in Chinese numerals, and with spaces,
    dashes, dots or brackets inside. The time is linear in the length of the text.
    """
    known = [normalize_text(value) for value in known_values]
    spans: set[_Span] = set()
    for view in _views(text):
        spans.update(_pattern_spans(view))
        spans.update(_known_value_spans(view, known))
    return [PiiMatch(kind, start, end, text[start:end]) for kind, start, end in _merge_spans(spans)]


def _views(text: str) -> set[str]:
    """Return the text in half width without random ids, as it is and with Chinese numerals as
    digits.

    Positions are those of `text`.
    """
    arabic = RANDOM_IDS.sub(_blank_out, fold_width(text))
    return {arabic, arabic.translate(CHINESE_NUMERALS)}


def _blank_out(found: re.Match[str]) -> str:
    return "x" * len(found[0])


def mask_pii(text: str, known_values: Iterable[str] = ()) -> str:
    """Return the text with all personal data replaced by its kind, as `［手机号码］`.

    No digit remains from which the rest could be guessed.
    """
    parts: list[str] = []
    done = 0
    for match in find_pii(text, known_values):
        parts += [text[done : match.start], f"［{match.kind.label}］"]
        done = match.end
    return "".join([*parts, text[done:]])


_Span = tuple[PiiKind, int, int]

# What may stand inside a number. Separators of times, list items and sentences may not:
# `17:30，2026` is not a telephone number.
_GAP: Final = r"(?:[^\w:;、。!?%=]|_){0,4}"


def _digits(*classes: str) -> str:
    return _GAP.join(classes)


def _number(shape: str) -> re.Pattern[str]:
    """Return the pattern of a number of this shape that no digit touches.

    It is a lookahead, so that every position is tried: a number must not hide the next one.
    """
    return re.compile(rf"(?<!\d)(?=({shape})(?!\d))", re.IGNORECASE)


_D: Final = r"\d"
_MOBILE: Final = _digits("1", "[3-9]", *[_D] * 9)
_AREA: Final = rf"(?:1{_GAP}0|2{_GAP}\d|[3-9]{_GAP}\d{_GAP}\d)"
_SUBSCRIBER: Final = _digits("[2-8]", *[_D] * 6) + rf"(?:{_GAP}\d)?"
_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE: Final = (
    rf"(?=([{_PROVINCES}]{_GAP}[A-Z]{_GAP}(?:[A-Z0-9]{_GAP}){{4,5}}[A-Z0-9挂学警港澳])(?![A-Z0-9]))"
)
_EMAIL: Final = r"(?<![a-z0-9_.+%-])(?=([a-z0-9_.+%-]+ ?@ ?[a-z0-9_-]+(?:\.[a-z0-9_-]+)+))"

_NUMBER_PATTERNS: Final = (
    (PiiKind.ID_CARD, _number(_digits(*[_D] * 17, "[0-9X]"))),
    (PiiKind.ID_CARD, _number(_digits(*[_D] * 15))),
    (PiiKind.BANK_CARD, _number(_digits("[34569]", *[_D] * 15))),
    (PiiKind.BANK_CARD, _number(_digits("[34569]", *[_D] * 16))),
    (PiiKind.BANK_CARD, _number(_digits("[34569]", *[_D] * 17))),
    (PiiKind.BANK_CARD, _number(_digits("[34569]", *[_D] * 18))),
    # A country code, a trunk zero or a dialling prefix may precede it; two numbers may touch.
    (PiiKind.MOBILE, _number(rf"(?:(?:(?:00)?86|0|17951|12593){_GAP})?(?:{_MOBILE})+")),
    (PiiKind.LANDLINE, _number(rf"(?:(?:00)?86{_GAP}0?|0){_GAP}{_AREA}{_GAP}{_SUBSCRIBER}")),
)
_EMAIL_PATTERNS: Final = ((PiiKind.EMAIL, re.compile(_EMAIL, re.IGNORECASE)),)
_PLATE_PATTERNS: Final = ((PiiKind.PLATE, re.compile(_PLATE, re.IGNORECASE)),)
_PATTERNS: Final = (
    (re.compile(_digits(*[_D] * 10)), _NUMBER_PATTERNS),
    (re.compile("@"), _EMAIL_PATTERNS),
    (re.compile(f"[{_PROVINCES}]"), _PLATE_PATTERNS),
)
"""Patterns by the sign that all of them need. Most texts have none, and one search for the sign is
cheaper than a search for each pattern.
"""


def _pattern_spans(view: str) -> Iterator[_Span]:
    for sign, patterns in _PATTERNS:
        if not sign.search(view):
            continue
        for kind, pattern in patterns:
            for found in pattern.finditer(view):
                if _is_plausible(kind, found[1]):
                    yield kind, found.start(1), found.end(1)


def _is_plausible(kind: PiiKind, found: str) -> bool:
    check = _CHECKS.get(kind)
    return check is None or check("".join(filter(str.isalnum, found.upper())))


def _is_id_card(number: str) -> bool:
    """Return whether this is an identity number (GB 11643).

    The old form of 15 digits has no check digit: its birthday must exist. Birthday and place of the
    18 digits are not checked, so that an unusual number is not missed.
    """
    if len(number) == 15:
        return number[0] in "12345678" and _is_day("19" + number[6:12])
    return ric.calc_check_digit(number) == number[17]


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


_CHECKS: Final[dict[PiiKind, Callable[[str], bool]]] = {
    PiiKind.ID_CARD: _is_id_card,
    PiiKind.BANK_CARD: luhn.is_valid,
}


def _known_value_spans(view: str, known: Sequence[str]) -> Iterator[_Span]:
    """Yield where a known value stands. `known` is normalized."""
    if not known:
        return
    alphanumeric = "".join(filter(str.isalnum, view)).lower()
    for value in known:
        # A single character would be found everywhere. Compiling a pattern is expensive, so look
        # first whether there is anything to find.
        if len(value) < 2 or value.lower() not in alphanumeric:
            continue
        pattern = _GAP.join(map(re.escape, value))
        for found in re.finditer(pattern, view, re.IGNORECASE):
            yield PiiKind.KNOWN, found.start(), found.end()


def _merge_spans(spans: Iterable[_Span]) -> list[_Span]:
    """Merge overlapping spans into one that covers them all and has the most sensitive kind."""
    merged: list[_Span] = []
    for span in sorted(spans, key=lambda span: span[1:]):
        if merged and span[1] < merged[-1][2]:
            merged[-1] = _union(merged[-1], span)
        else:
            merged.append(span)
    return merged


def _union(one: _Span, other: _Span) -> _Span:
    kind = min(one[0], other[0], key=_PRECEDENCE.__getitem__)
    return kind, one[1], max(one[2], other[2])
